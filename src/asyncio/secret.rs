//! What is not to be shown of a program's values: passwords, tokens, credentials in URLs.
//!
//! Reports go into chats and tickets. A value is hidden for its name (of a variable, an attribute,
//! a key, the first of a pair), and a part of a text for what stands before it.

use std::borrow::Cow;

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "‹hidden›";

/// Words that make a name that of a secret, wherever they stand in it.
const PARTS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "apikey",
    "privatekey",
];
/// Names, or last parts of names, of secrets: too short to be looked for in the middle of a word.
const ENDS: [&str; 4] = ["dsn", "pwd", "accesskey", "secretkey"];
/// Schemes of an `Authorization` header, before what is secret.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Whether what has this name is a secret: `db_password`, `X-API-Key`, `authToken`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    PARTS.iter().any(|part| name.contains(part)) || ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a name counts tokens: those of a limit, or of a language model.
pub(super) fn is_count_name(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("tokens")
}

/// A text without the secrets in it; of one that `is_cut` the end may be missing.
pub(super) fn masked(text: &str, is_cut: bool) -> Cow<'_, str> {
    // Most texts have none of the signs that could stand before a secret.
    if !text.contains([':', '=']) && !text.contains(' ') {
        return Cow::Borrowed(text);
    }
    let mut hidden = secrets(text, is_cut);
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    hidden.sort_unstable();
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for (start, end) in hidden {
        if start < from {
            // Within the one before, or longer than it.
            from = from.max(end);
            continue;
        }
        out.push_str(text.get(from..start).unwrap_or_default());
        out.push_str(HIDDEN);
        from = end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

/// Where the secrets are.
fn secrets(text: &str, is_cut: bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        found.extend(userinfo(text, at + 3, is_cut));
    }
    // `user:password@host`, as the parts of a URL are kept.
    if !text.contains("://") {
        found.extend(userinfo(text, 0, false));
    }
    for (at, sign) in text.char_indices().filter(|(_, c)| matches!(c, '=' | ':')) {
        let before = text.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', ' ']);
        let start = before.rfind(|c: char| !is_of_name(c)).map_or(0, |at| at + 1);
        let name = before.get(start..).unwrap_or_default();
        if is_secret_name(name) && text.get(at..).is_none_or(|rest| !rest.starts_with("://")) {
            found.extend(value(text, at + sign.len_utf8()));
        }
    }
    let lower = text.to_ascii_lowercase();
    for scheme in SCHEMES {
        for (at, _) in lower.match_indices(scheme) {
            let end = at + scheme.len();
            let is_word = lower.get(..at).is_some_and(|before| !before.ends_with(is_of_name));
            if is_word && lower.get(end..).is_some_and(|rest| rest.starts_with(' ')) {
                found.extend(value(text, end));
            }
        }
    }
    found
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-')
}

/// The `user:password` of a URL whose authority begins at `start`.
fn userinfo(text: &str, start: usize, is_cut: bool) -> Option<(usize, usize)> {
    let rest = text.get(start..)?;
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''));
    let authority = rest.get(..end.unwrap_or(rest.len()))?;
    let colon = authority.find(':')?;
    match authority.rfind('@') {
        Some(at) if colon < at => Some((start, start + at)),
        // What could tell a port from a password is cut off.
        None if is_cut && end.is_none() => Some((start, text.len())),
        _ => None,
    }
}

/// The value that begins behind a sign: to the end of a word, or of what is in quotes.
fn value(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    let start = from + (rest.len() - rest.trim_start().len());
    let rest = text.get(start..)?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (start, rest) = match quote {
        Some(quote) => (start + quote.len_utf8(), rest.get(quote.len_utf8()..)?),
        None => (start, rest),
    };
    let is_end = |c: char| match quote {
        Some(quote) => c == quote,
        None => c.is_whitespace() || matches!(c, ';' | '&' | ',' | '"' | '\'' | ')' | ']' | '}'),
    };
    let len = rest.find(is_end).unwrap_or(rest.len());
    // `Authorization: Bearer …` is hidden behind its scheme.
    let word = rest.get(..len)?;
    let is_scheme = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
    (len > 0 && !is_scheme).then_some((start, start + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        let secret = [
            "password",
            "db_password",
            "PASSWORD",
            "_secret_value",
            "authToken",
            "access_token",
            "Authorization",
            "Set-Cookie",
            "X-API-Key",
            "api_key",
            "dsn",
            "DATABASE_DSN",
            "aws_secret_access_key",
            "private_key",
            "pwd",
        ];
        for name in secret {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["user", "path", "key", "keys", "author", "passes", "design", "x", ""] {
            assert!(!is_secret_name(name), "{name}");
        }
        assert!(is_count_name("total_tokens") && !is_count_name("token"));
    }

    #[test]
    fn parts_of_texts_that_are_secret() {
        let cases = [
            ("postgres://app:s3cr3t@db:5432/prod", "postgres://‹hidden›@db:5432/prod"),
            ("app:s3cr3t@db.internal", "‹hidden›@db.internal"),
            ("redis://:p@ss@10.0.0.5", "redis://‹hidden›@10.0.0.5"),
            ("host=db password=hunter2 user=app", "host=db password=‹hidden› user=app"),
            ("https://x/y?token=abc&page=2", "https://x/y?token=‹hidden›&page=2"),
            ("Authorization: Bearer eyJh.b-c", "Authorization: Bearer ‹hidden›"),
            ("{\"password\": \"hunter 2\", \"a\": 1}", "{\"password\": \"‹hidden›\", \"a\": 1}"),
            ("Server=x;Pwd=abc;Timeout=3", "Server=x;Pwd=‹hidden›;Timeout=3"),
            ("Basic dXNlcjpwYXNz", "Basic ‹hidden›"),
        ];
        for (text, shown) in cases {
            assert_eq!(masked(text, false), shown);
            assert_eq!(masked(shown, false).matches("s3cr3t").count(), 0);
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        let texts = [
            "http://10.0.0.5:8080/orders?page=2",
            "a: b",
            "GET /orders/7 HTTP/1.1",
            "x=1",
            "mail to ada@example.org",
            "the basics of it",
            "std::vector",
            "10:30",
            "",
        ];
        for text in texts {
            assert_eq!(masked(text, false), text);
        }
    }

    #[test]
    fn of_a_text_that_was_cut_nothing_is_shown_that_may_be_a_password() {
        assert_eq!(masked("postgres://app:very-long-passw", true), "postgres://‹hidden›");
        assert_eq!(
            masked("postgres://db:5432/prod and mo", true),
            "postgres://db:5432/prod and mo"
        );
    }
}
