//! What people read is in the words that people use.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use std::path::{Path, PathBuf};

use support::pages::{all_pages, helps};
use support::{aiospy, code, files_below, literals, root, texts};

/// What is not said, and what is said instead.
const NOT: &[(&str, &str)] = &[
    ("tell", "report, detect, know, show"),
    ("tells", "reports, shows, says"),
    ("told", "reported, detected, known"),
    ("telling", "reporting"),
    ("one look", "one sample"),
    ("two looks", "two samples"),
    ("both looks", "both samples"),
    ("first look", "first sample"),
    ("second look", "second sample"),
    ("the looks", "the samples"),
    ("each look", "each sample"),
    ("glance", "light sample"),
    ("glances", "light samples"),
    ("each turn", "each iteration"),
    ("a turn", "an iteration"),
    ("next turn", "next iteration"),
    ("its turn", "ready to run"),
    ("turn of", "iteration of"),
    ("turns of", "iterations of"),
    ("circle", "cycle"),
    ("in line", "waiting; in the queue"),
    ("as if it had not", "is still running"),
    ("eaten", "swallowed"),
    ("asked to end", "cancelled; stopped"),
    ("asked and going on", "cancelled, still running"),
    ("nothing of this moved", "no progress"),
    ("in the end wait", "are blocked, directly or indirectly"),
    ("in hand", "while holding"),
    ("still to end", "0 of 13 done"),
    ("s to go", "left"),
    ("referred to by nothing", "nothing else holds a reference to it"),
    ("none comes on", "none finished"),
    ("kept by", "blocked in"),
    ("what is other", "what changed"),
    ("no shape of", "no group of"),
    ("let it go", "release"),
    ("put it away", "close"),
    ("give way", "yield"),
    ("gives way", "yields"),
    ("for ever", "forever"),
    ("any more", "no longer"),
    ("is wanted", "expected"),
    ("(derived)", "nothing"),
    ("(guessed)", "probably"),
];

/// The phrases of the table that are in a text.
fn found(text: &str) -> Vec<&'static str> {
    let words = |text: &str| {
        let lower = text.to_lowercase();
        let spaced: String = lower
            .chars()
            .map(|c| if c.is_alphanumeric() || "()".contains(c) { c } else { ' ' })
            .collect();
        let joined: Vec<&str> = spaced.split_whitespace().collect();
        format!(" {} ", joined.join(" "))
    };
    // That is how one says it.
    let text = words(text).replace(" can t tell ", " ");
    NOT.iter().map(|(not, _)| *not).filter(|not| text.contains(&words(not))).collect()
}

fn shown(file: &Path) -> &Path {
    file.strip_prefix(root()).unwrap()
}

fn hold(file: &Path, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let found = texts.into_iter().flat_map(|text| {
        found(text.as_ref())
            .into_iter()
            .map(move |not| {
                let but = NOT.iter().find(|(it, _)| *it == not).unwrap().1;
                format!("{}: `{not}` (better: {but}) in {:?}", shown(file).display(), text.as_ref())
            })
            .collect::<Vec<_>>()
    });
    found.collect()
}

fn sources() -> Vec<PathBuf> {
    let is_told = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        !matches!(name, "tests.rs" | "sample.rs" | "scenes.rs")
            && !file.components().any(|it| it.as_os_str() == "tests")
    };
    let all = files_below(&["src", "ui"], "rs");
    all.into_iter().filter(is_told).collect()
}

#[test]
fn messages_are_in_the_words_of_the_field() {
    let bad: Vec<String> =
        sources().iter().flat_map(|file| hold(file, literals(&code(file)))).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn explanations_are_too() {
    let files = files_below(&["ui/commands/explain"], "txt");
    assert!(files.len() > 30);
    let read = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
    // Sentences go on over lines.
    let bad: Vec<String> =
        files.iter().flat_map(|file| hold(file, read(file).split("\n\n"))).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn pages_are_too() {
    let bad: Vec<String> =
        all_pages().iter().flat_map(|(file, text)| hold(file, text.lines())).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn help_is_too() {
    let helps = helps();
    assert!(["dump", "watch"].iter().all(|it| helps.iter().any(|(command, _)| command == it)));
    for (command, help) in helps {
        assert_eq!(found(&help), [""; 0], "aiospy {command} --help");
    }
    assert_eq!(found(&texts(&aiospy(&["--help"])).0), [""; 0]);
}

#[test]
fn a_phrase_is_found_however_it_is_written() {
    assert_eq!(found("How it is told"), ["told"]);
    assert!(found("one sample can't tell a hang from a short wait").is_empty());
    assert_eq!(found("3rd of 8 in line, inline"), ["in line"]);
    assert_eq!(found("8 in\n  line"), ["in line"]);
    assert_eq!(found("sleep, 29.4 s to go"), ["s to go"]);
    assert!(found("the toll; a telltale; an untold story; returns of").is_empty());
}
