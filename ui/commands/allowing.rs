//! `--allow` and `--mutes`: findings that are known, and fail nothing.

use aiospy::snapshot::{Allowed, Rule};
use clap::Args;

use crate::commands::codes::code_of;
use crate::io::given;
use crate::io::output::note;

/// What is allowed.
#[derive(Debug, Clone, Default, Args)]
pub struct Allowing {
    /// Don't fail for findings of CODE, and print them as allowed. WHERE is a file with or without a
    /// line, a function, or a key; `*` in it stands for anything
    #[arg(long = "allow", value_name = "CODE[:WHERE]", value_parser = rule)]
    allow: Vec<Rule>,
    /// The same for each line of FILE: code, pattern of its key, and behind # why
    #[arg(long = "mutes", value_name = "FILE", value_parser = mutes)]
    mutes: Option<Mutes>,
    /// Whether it is said which of them nothing was found for; the switch is one of all commands.
    #[arg(skip)]
    pub is_verbose: bool,
}

/// The rules of a file.
#[derive(Debug, Clone)]
struct Mutes(Vec<Rule>);

impl Allowing {
    /// The rules, none of which has been used.
    pub fn allowed(&self) -> Allowed {
        let mutes = self.mutes.iter().flat_map(|Mutes(rules)| rules);
        Allowed::new(self.allow.iter().chain(mutes).cloned())
    }

    /// Says which rules nothing was found for, where that is asked for.
    pub fn note_unused(&self, allowed: &Allowed) {
        if self.is_verbose {
            for rule in allowed.unused() {
                note(format_args!("nothing was found that {rule} allows"));
            }
        }
    }
}

/// `lock-convoy`, `lock-convoy:shop.py:17`, or a key, `lock-convoy/shop.py:*`.
fn rule(text: &str) -> Result<Rule, String> {
    let (code, pattern) = match text.find([':', '/']) {
        Some(at) if text.get(at..).is_some_and(|rest| rest.starts_with('/')) => {
            (text.get(..at), Some(text))
        }
        Some(at) => (text.get(..at), text.get(at + 1..)),
        None => (Some(text), None),
    };
    if pattern.is_some_and(str::is_empty) {
        return Err("nothing stands behind the colon".to_owned());
    }
    Ok(Rule::new(code_of(code.unwrap_or_default())?, pattern.map(str::to_owned)))
}

/// The rules of a file, one a line: a code, a pattern if it is not allowed everywhere, and why.
fn mutes(file: &str) -> Result<Mutes, String> {
    let text = given::rules(file)?;
    let mut rules = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let of_line = |error: String| format!("line {}: {error}", at + 1);
        rules.extend(mute(line).map_err(of_line)?);
    }
    Ok(Mutes(rules))
}

/// `lock-convoy  shop.py:*  # the cache is slow to fill`
fn mute(line: &str) -> Result<Option<Rule>, String> {
    let is_remark = |word: &&str| word.starts_with('#');
    let words: Vec<&str> = line.split_whitespace().take_while(|word| !is_remark(word)).collect();
    match words[..] {
        [] => Ok(None),
        [code] => rule(code).map(Some),
        [code, pattern] => Ok(Some(Rule::new(code_of(code)?, Some(pattern.to_owned())))),
        _ => Err("expected a code, a pattern and # why".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiospy::snapshot::Code;

    use crate::commands::options::typed;

    #[test]
    fn rules_are_codes_with_places_or_keys() {
        for (text, code, pattern) in [
            ("lock-convoy", Code::LockConvoy, None),
            ("Lock-Convoy", Code::LockConvoy, None),
            ("lock-convoy:shop.py:17", Code::LockConvoy, Some("shop.py:17")),
            ("lock-convoy:/srv/shop.py", Code::LockConvoy, Some("/srv/shop.py")),
            ("lock-convoy/shop.py:*", Code::LockConvoy, Some("lock-convoy/shop.py:*")),
        ] {
            let expected = Rule::new(code, pattern.map(str::to_owned));
            assert_eq!(rule(text), Ok(expected), "{text}");
        }
        let error = |text: &str| rule(text).unwrap_err();
        assert_eq!(
            error("lock-convoi:x"),
            "no finding has the code \"lock-convoi\"; the nearest is lock-convoy"
        );
        assert!(error("zzz").ends_with("; aiospy explain lists them"), "{}", error("zzz"));
        assert_eq!(error("deadlock:"), "nothing stands behind the colon");
        let given = typed::<Allowing>("--allow deadlock --allow peer-silent:10.*").unwrap();
        assert_eq!(given.allowed().unused().count(), 2);
        assert_eq!(typed::<Allowing>("--allow nonsense").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_line_of_a_file_may_say_why() {
        let rule = |code, pattern: Option<&str>| Some(Rule::new(code, pattern.map(str::to_owned)));
        for (line, expected) in [
            ("", None),
            ("  # all of it", None),
            ("lock-convoy  # why", rule(Code::LockConvoy, None)),
            ("lock-convoy\tshop.py:* # slow", rule(Code::LockConvoy, Some("shop.py:*"))),
            ("lock-convoy shop.py#1", rule(Code::LockConvoy, Some("shop.py#1"))),
        ] {
            assert_eq!(mute(line), Ok(expected), "{line}");
        }
        assert!(mute("deadlock a b").is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "deadlock\n\n# x\nlock-convoi  a\n").unwrap();
        let error = mutes(path).unwrap_err();
        assert!(error.starts_with("line 4: no finding has the code \"lock-convoi\""), "{error}");
        std::fs::write(path, "deadlock\nlock-convoy a\n").unwrap();
        assert_eq!(mutes(path).unwrap().0.len(), 2);
        assert!(mutes("/nowhere").unwrap_err().starts_with("can't read it: "));
    }
}
