//! File paths, as short as they still say which file it is.

use std::borrow::Cow;

use aiospy::known::Libraries;
use unicode_width::UnicodeWidthStr;

use crate::io::page;

/// `path` without the folder of the interpreter's library or of its packages, where only the path
/// itself tells; [`Location::path`](aiospy::snapshot::Location::path) knows more.
pub fn short(path: &str) -> &str {
    Libraries::default().home(path).path
}

/// `path:line`, shortened in its middle to at most `room` columns where that is possible.
pub fn place(path: &str, line: Option<u32>, room: usize) -> String {
    let path = short(path);
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}", fit(path, room.saturating_sub(line.len())))
}

/// `path:line`, as long as it is.
pub fn full(path: &str, line: Option<u32>) -> String {
    place(path, line, usize::MAX)
}

/// `function (path:line)`.
pub fn frame(function: &str, path: &str, line: Option<u32>) -> String {
    format!("{function} ({})", full(path, line))
}

/// A command line in at most `room` columns where that is possible: its longest paths lose their
/// middle first.
pub fn command(command: &str, room: usize) -> String {
    let mut words: Vec<Cow<'_, str>> = command.split(' ').map(Cow::Borrowed).collect();
    let mut over = command.width().saturating_sub(room);
    let mut paths: Vec<&mut Cow<'_, str>> = words.iter_mut().filter(|word| is_path(word)).collect();
    paths.sort_by_key(|word| std::cmp::Reverse(word.width()));
    for word in paths {
        if over == 0 {
            break;
        }
        let width = word.width();
        let fitted = fit(word, width.saturating_sub(over)).into_owned();
        over = over.saturating_sub(width.saturating_sub(fitted.width()));
        *word = Cow::Owned(fitted);
    }
    words.join(" ")
}

/// Whether a word of a command line is a path.
fn is_path(word: &str) -> bool {
    word.starts_with(['/', '.']) && word.matches('/').count() > 1
}

/// Leaves out folders in the middle, never the file's name.
fn fit(path: &str, room: usize) -> Cow<'_, str> {
    let clean = page::clean(path);
    if clean.width() <= room {
        return Cow::Borrowed(path);
    }
    let parts: Vec<&str> = clean.split('/').collect();
    let Some((file, folders)) = parts.split_last() else { return Cow::Borrowed(path) };
    // As many of the last folders as fit behind the first one, then without the first.
    let first = match folders {
        ["", first, ..] => format!("/{first}/…/"),
        [first, ..] => format!("{first}/…/"),
        [] => return Cow::Owned(clean.into_owned()),
    };
    for (head, is_last_resort) in [(first.as_str(), false), ("…/", true)] {
        let left = room.saturating_sub(head.width() + file.width());
        let mut tail = String::new();
        for folder in folders.iter().rev() {
            if tail.width() + folder.width() + 1 > left {
                break;
            }
            tail = format!("{folder}/{tail}");
        }
        // The folder next to the file says more than the first one.
        if is_last_resort || !tail.is_empty() {
            return Cow::Owned(format!("{head}{tail}{file}"));
        }
    }
    Cow::Borrowed(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_folders_are_left_out() {
        for (path, expected) in [
            ("/usr/lib/python3.11/asyncio/tasks.py", "asyncio/tasks.py"),
            ("/root/.pyenv/versions/3.8.18/lib/python3.8/asyncio/locks.py", "asyncio/locks.py"),
            ("/opt/python3.13t/lib/python3.13t/queue.py", "queue.py"),
            ("/usr/lib/python311.zip/asyncio/events.py", "asyncio/events.py"),
            ("/v/lib/python3.12/site-packages/aiohttp/web.py", "aiohttp/web.py"),
            ("/usr/lib/python3/dist-packages/attr/_make.py", "attr/_make.py"),
            ("/srv/python3.11/app.py", "/srv/python3.11/app.py"),
            ("/srv/lib/pythonic/app.py", "/srv/lib/pythonic/app.py"),
            ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
            ("app.py", "app.py"),
            ("", ""),
        ] {
            assert_eq!(short(path), expected);
        }
    }

    #[test]
    fn long_paths_lose_their_middle() {
        let path = "/srv/releases/2024-11-02/orders/backend/db.py";
        assert_eq!(place(path, Some(88), 80), format!("{path}:88"));
        assert_eq!(place(path, Some(88), 32), "/srv/…/orders/backend/db.py:88");
        assert_eq!(place(path, Some(88), 24), "/srv/…/backend/db.py:88");
        assert_eq!(place(path, Some(88), 20), "…/backend/db.py:88");
        assert_eq!(place(path, Some(88), 5), "…/db.py:88");
        assert_eq!(place("a/b.py", None, 3), "…/b.py");
        assert_eq!(place("a_very_long_file.py", None, 3), "a_very_long_file.py");
    }

    #[test]
    fn long_commands_keep_their_files() {
        let line =
            "python3.13 -B /srv/releases/2024-11-02/orders/main.py --config /etc/orders.toml";
        assert_eq!(command(line, 90), line);
        let short = "python3.13 -B /srv/…/orders/main.py --config /etc/orders.toml";
        assert_eq!(command(line, 64), short);
        let shorter = "python3.13 -B …/main.py --config …/orders.toml";
        assert_eq!(command(line, 10), shorter);
        assert_eq!(
            command("python3.13 -c 'import asyncio / 2'", 10),
            "python3.13 -c 'import asyncio / 2'"
        );
    }
}
