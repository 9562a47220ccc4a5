//! What the README and `docs/` say, held against the program.

use std::path::PathBuf;

use super::{aiospy, files_below, root, texts};

/// What people read of how to use it: the README and what it leads to, with their texts.
pub fn pages() -> Vec<(PathBuf, String)> {
    let mut files = files_below(&["docs"], "md");
    files.push(root().join("README.md"));
    read(files)
}

/// The same with what is for those who change it.
pub fn all_pages() -> Vec<(PathBuf, String)> {
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let mut all = pages();
    all.extend(read(others.iter().map(|name| root().join(name)).collect()));
    all
}

fn read(files: Vec<PathBuf>) -> Vec<(PathBuf, String)> {
    let text = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
    files.into_iter().map(|file| (file.clone(), text(&file))).collect()
}

/// One of them, by its path.
pub fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Holds the output after `head` on a page against `now`, as far as `outline` has it.
/// `AIOSPY_DOCS=write` puts it there.
pub fn hold_shown(name: &str, head: &str, now: &str, outline: fn(&str) -> Vec<String>) {
    let text = page(name);
    let (before, rest) = text.split_once(head).expect("no output on the page");
    let (shown, after) = rest.split_once("```").unwrap();
    if std::env::var("AIOSPY_DOCS").is_ok_and(|it| it == "write") {
        std::fs::write(root().join(name), format!("{before}{head}{now}```{after}")).unwrap();
        return;
    }
    assert_eq!(outline(shown), outline(now), "AIOSPY_DOCS=write puts this into {name}:\n{now}");
}

/// The commands in the order of the help, each with its own help.
pub fn helps() -> Vec<(String, String)> {
    let (all, _) = texts(&aiospy(&["--help"]));
    let listed = all.split_once("Commands:\n").unwrap().1.lines();
    let commands = listed
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split(' ').next())
        .filter(|command| !["", "help"].contains(command));
    commands.map(|it| (it.to_owned(), texts(&aiospy(&[it, "--help"])).0)).collect()
}
