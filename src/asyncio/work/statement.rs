//! Statements without what is in them of anybody's: strings and numbers become `?`, comments go.
//!
//! Databases differ in what a quote or a backslash means. Where two readings are possible, the one
//! counts that hides more.

/// Words before a name in double quotes, which are strings in some databases.
const BEFORE_NAMES: [&str; 7] = ["from", "join", "into", "update", "table", "as", "only"];

/// The statement without literals and comments, in one line.
pub(super) fn without_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_before = out.chars().next_back().is_some_and(is_of_word);
        let skipped = if first == '\'' {
            string(rest, &mut out)
        } else if matches!(first, '"' | '`') {
            quoted_name(rest, first, &mut out)
        } else if rest.starts_with("--") || first == '#' && !rest.starts_with("#>") {
            line_end(rest)
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if first == '$' && !word_before {
            dollar(rest, &mut out)
        } else if first.is_ascii_digit() && !word_before {
            let end = rest.find(|c: char| !is_of_word(c) && c != '.').unwrap_or(rest.len());
            out.push('?');
            end
        } else if first.is_whitespace() || first.is_control() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            first.len_utf8()
        } else {
            out.push(first);
            first.len_utf8()
        };
        rest = rest.get(skipped.max(1)..).unwrap_or_default();
    }
    folded(out.trim())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | ':')
}

/// A string: how long it is.
fn string(text: &str, out: &mut String) -> usize {
    out.push('?');
    let mut at = 1;
    while let Some(quote) = text.get(at..).and_then(|rest| rest.find('\'')) {
        // Whether a backslash hides a quote depends on the database and its settings.
        if text.get(at..at + quote).is_some_and(|inner| inner.contains('\\')) {
            return text.len();
        }
        at += quote + 1;
        if !text.get(at..).is_some_and(|rest| rest.starts_with('\'')) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// A name in quotes; hidden where it may be a string.
fn quoted_name(text: &str, quote: char, out: &mut String) -> usize {
    let Some(len) = text.get(1..).and_then(|rest| rest.find(quote)) else {
        out.push('?');
        return text.len();
    };
    let inner = text.get(1..=len).unwrap_or_default();
    let after = text.get(len + 2..).unwrap_or_default();
    if inner.contains('\\') {
        out.push('?');
        return text.len();
    }
    let last = out.rsplit([' ', '(']).find(|word| !word.is_empty()).unwrap_or_default();
    let is_name = inner.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !inner.is_empty()
        && (quote == '`'
            || out.ends_with('.')
            || after.starts_with('.')
            || out.ends_with(' ') && BEFORE_NAMES.iter().any(|it| last.eq_ignore_ascii_case(it)));
    if is_name {
        out.extend([quote].into_iter().chain(inner.chars()).chain([quote]));
    } else {
        out.push('?');
    }
    len + 2
}

/// `$1` is a parameter, `$$text$$` and `$tag$text$tag$` are strings.
fn dollar(text: &str, out: &mut String) -> usize {
    let word = text.get(1..).unwrap_or_default();
    let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
    if word.get(end..).is_some_and(|rest| rest.starts_with('$')) {
        out.push('?');
        let tag = text.get(..end + 2).unwrap_or(text);
        let inner = text.get(tag.len()..).unwrap_or_default();
        return inner.find(tag).map_or(text.len(), |at| at + 2 * tag.len());
    }
    out.push('$');
    1
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// A comment, with those within it.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Lists of values are alike however long they are.
fn folded(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(at) = out.find("?, ?").or_else(|| out.find("?,?")) {
        let end = at + if out.get(at..).is_some_and(|it| it.starts_with("?, ?")) { 4 } else { 3 };
        out.replace_range(at..end, "?");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_hidden_and_names_are_not() {
        for (text, expected) in [
            (
                "SELECT a1, b FROM t WHERE id = 17 AND c='x'",
                "SELECT a1, b FROM t WHERE id = ? AND c=?",
            ),
            (
                "select * from t2 where x = $1 and y = %s and z = :z",
                "select * from t2 where x = $1 and y = %s and z = :z",
            ),
            (
                "INSERT INTO t VALUES (1, 'a', 2.5e3),\n  (2, 'b', -3)",
                "INSERT INTO t VALUES (?), (?, -?)",
            ),
            ("SELECT \"user\".\"id\" FROM \"user\"", "SELECT \"user\".\"id\" FROM \"user\""),
            ("UPDATE `t` SET `a` = \"SECRET\"", "UPDATE `t` SET `a` = ?"),
            ("SELECT data #> $1 FROM t", "SELECT data #> $1 FROM t"),
            ("SELECT id::text FROM t LIMIT 10", "SELECT id::text FROM t LIMIT ?"),
        ] {
            assert_eq!(without_literals(text), expected);
        }
    }

    #[test]
    fn nothing_secret_is_left_whatever_the_database() {
        for text in [
            "SELECT 'SECRET'",
            "SELECT 'it''s SECRET'",
            "SELECT 'it\\'s SECRET', 'x'",
            "SELECT 'C:\\', 'SECRET'",
            "SELECT \"SECRET\"",
            "SELECT x = \"a \\\" SECRET\"",
            "SELECT $$SECRET$$, $a$it's SECRET$a$",
            "SELECT E'SECRET', N'SECRET'",
            "SELECT 1 -- SECRET\n, 2",
            "SELECT 1 # SECRET",
            "SELECT /* /* SECRET */ SECRET */ 1",
            "SELECT /* SECRET",
            "SELECT 'SECRET",
            "SELECT `SECRET key`",
        ] {
            assert!(
                !without_literals(text).contains("SECRET"),
                "{text}: {}",
                without_literals(text)
            );
        }
        assert_eq!(without_literals("SELECT 0xSECRET, 12SECRET"), "SELECT ?");
    }
}
