//! Findings that are known and allowed: they are shown, and make nothing worse.

use std::fmt;

use super::{Code, Finding, Location};

/// What is allowed.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    rules: Vec<(Rule, bool)>,
}

/// Findings of a code, everywhere or where a pattern says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    code: Code,
    pattern: Option<String>,
}

impl Allowed {
    /// Findings that one of these rules is about.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, false)).collect() }
    }

    /// Marks those that are allowed.
    pub fn mark(&mut self, findings: &mut [Finding]) {
        for finding in findings {
            for (rule, is_used) in &mut self.rules {
                if rule.is_about(finding) {
                    (finding.is_allowed, *is_used) = (true, true);
                }
            }
        }
    }

    /// The rules that no finding was marked by.
    pub fn unused(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|(_, is_used)| !is_used).map(|(rule, _)| rule)
    }
}

impl Rule {
    /// One about a code; the pattern is of a key, a part of one, a file with or without a line, or a
    /// function, and `*` in it stands for anything.
    pub fn new(code: Code, pattern: Option<String>) -> Self {
        Self { code, pattern }
    }

    /// Whether it is about a finding.
    pub fn is_about(&self, finding: &Finding) -> bool {
        let Some(pattern) = &self.pattern else { return finding.code == self.code };
        let fits = |text: &str| matches(pattern, text);
        let key = finding.key.as_str();
        let names = key.strip_prefix(self.code.as_str()).and_then(|rest| rest.strip_prefix('/'));
        finding.code == self.code
            && (fits(key)
                || names.is_some_and(|names| fits(names) || names.split('/').any(fits))
                || finding.place.as_deref().is_some_and(|place| is_at(place, &fits)))
    }
}

impl fmt::Display for Rule {
    /// As it is typed: `lock-convoy:shop.py`.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Some(pattern) => write!(to, "{}:{pattern}", self.code),
            None => write!(to, "{}", self.code),
        }
    }
}

/// Whether a place is in a file of that name, with or without its line, or in that function.
fn is_at(place: &Location, fits: &dyn Fn(&str) -> bool) -> bool {
    let file = &*place.file;
    let ends = file.match_indices('/').filter_map(|(at, _)| file.get(at + 1..));
    let mut files = std::iter::once(file).chain(ends);
    let with_line = |file: &str| place.line.is_some_and(|line| fits(&format!("{file}:{line}")));
    fits(&place.function) || files.any(|file| fits(file) || with_line(file))
}

/// Whether a text is as a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else { return pattern == text };
    let inner = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    // What comes first leaves most for the others.
    let mut rest = inner;
    for part in parts {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
    }
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::snapshot::{Severity, Sureness};

    fn finding(code: Code, key: &str, place: Option<(&str, &str, u32)>) -> Finding {
        let mut it = Finding::new(code, Severity::Warning, Sureness::Read, "so");
        it.key = key.to_owned();
        it.place = place.map(|(function, file, line)| {
            Arc::new(Location::by_path(function.into(), file.into(), Some(line)))
        });
        it
    }

    #[test]
    fn a_pattern_is_of_a_key_or_a_place() {
        let place = ("Inventory.refresh", "/srv/app/shop.py", 17);
        let key = "lock-convoy/shop.py:Inventory.refresh/self.lock";
        let convoy = finding(Code::LockConvoy, key, Some(place));
        let is_about =
            |pattern: &str| Rule::new(Code::LockConvoy, Some(pattern.to_owned())).is_about(&convoy);
        for pattern in [
            key,
            "lock-convoy/shop.py:*",
            "shop.py:Inventory.refresh/self.lock",
            "shop.py:Inventory.refresh",
            "self.lock",
            "*.lock",
            "shop.py",
            "app/shop.py",
            "/srv/app/shop.py",
            "shop.py:17",
            "Inventory.*",
            "*",
        ] {
            assert!(is_about(pattern), "{pattern}");
        }
        for pattern in
            ["", "shop", "hop.py", "shop.py:1", "shop.py:18", "self", "peer-silent/shop.py:*"]
        {
            assert!(!is_about(pattern), "{pattern}");
        }
        assert!(Rule::new(Code::LockConvoy, None).is_about(&convoy));
        assert!(!Rule::new(Code::Deadlock, None).is_about(&convoy));
        assert!(!Rule::new(Code::Deadlock, Some("*".to_owned())).is_about(&convoy));
        let silent = finding(Code::PeerSilent, "peer-silent/10.0.0.5:5432", None);
        let to = |peer: &str| Rule::new(Code::PeerSilent, Some(peer.to_owned()));
        assert!(to("10.0.0.5:5432").is_about(&silent) && to("10.0.0.*").is_about(&silent));
        assert_eq!(to("10.0.0.*").to_string(), "peer-silent:10.0.0.*");
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a*b*c", "axbybzc"),
            ("**", "x"),
            ("*b*", "abc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*a", "a"), ("a*b*c", "acb"), ("", "x"), ("*x", "y")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn rules_that_were_about_nothing_are_known() {
        let rules = [Rule::new(Code::LockConvoy, None), Rule::new(Code::Deadlock, None)];
        let mut allowed = Allowed::new(rules.clone());
        let mut findings = [finding(Code::LockConvoy, "lock-convoy/a", None)];
        allowed.mark(&mut findings);
        assert!(findings[0].is_allowed);
        assert_eq!(allowed.unused().collect::<Vec<_>>(), [&rules[1]]);
    }
}
