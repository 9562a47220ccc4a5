//! Whose code a frame runs, and which library's function it is, is decided in `src/known` only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use support::{code, files_below, literals, root};

/// Where a name is compared with a text: an operator, or a method.
const COMPARISONS: [&str; 8] =
    ["==", "!=", ".starts_with(", ".ends_with(", ".contains(", ".strip_", "split(", ".find("];
/// Where the name of a function comes from.
const NAMES: [&str; 6] = [
    ".function)",
    "location.function",
    "place.function",
    "function_name(",
    "callable_name(",
    "at.function",
];
/// How much code behind a name is taken to be about it.
const REACH: usize = 60;

/// The files of the library and the program, but for those that are tests, and for `src/known`.
fn files() -> Vec<PathBuf> {
    let is_left_out = |file: &PathBuf| {
        let stems =
            file.strip_prefix(root()).unwrap().iter().map(|part| Path::new(part).file_stem());
        stems.flatten().any(|stem| stem == "known" || stem == "tests" || stem == "sample")
    };
    let found: Vec<PathBuf> =
        files_below(&["src", "ui"], "rs").into_iter().filter(|file| !is_left_out(file)).collect();
    assert!(found.len() > 150, "{}", found.len());
    found
}

fn shown(file: &Path) -> &Path {
    file.strip_prefix(root()).unwrap()
}

#[test]
fn no_other_file_names_a_file_of_python() {
    let is_file = |text: &&str| {
        text.strip_suffix(".py").is_some_and(|stem| stem.ends_with(|c: char| c.is_alphanumeric()))
    };
    for file in files() {
        let code = code(&file);
        // What demos are called is ours; it is no file of a library.
        let mut found = literals(&code);
        found.retain(|text| is_file(&text.as_str()) && !text.starts_with("demo/"));
        assert!(found.is_empty(), "{}: {found:?}", shown(&file).display());
    }
}

#[test]
fn no_other_file_compares_the_name_of_a_function() {
    for file in files() {
        let code = code(&file);
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        for name in NAMES {
            for (at, _) in code.match_indices(name) {
                let rest = &code[at + name.len()..];
                let end = rest.find([';', '{']).unwrap_or(rest.len()).min(REACH);
                let end = (0..=end).rev().find(|at| rest.is_char_boundary(*at)).unwrap();
                let compared = COMPARISONS.iter().any(|it| {
                    let found = rest[..end].find(it);
                    found.is_some_and(|at| rest[at..end].contains(['"', '\'']))
                });
                let around = &code[at.saturating_sub(20)..][..name.len() + 20];
                assert!(!compared, "{}: {around}{}", shown(&file).display(), &rest[..end]);
            }
        }
    }
}

/// The names of functions that `src/known` lists, but for those that are words of their own.
fn known_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("src/known")).unwrap() {
        let file = entry.unwrap().path();
        if !matches!(file.file_stem().unwrap().to_str(), Some("names" | "origin")) {
            let is_name = |text: &&str| {
                text.len() > 5
                    && text.starts_with(|c: char| c == '_' || c.is_uppercase())
                    && text.chars().all(|c| c.is_alphanumeric() || "_.<>".contains(c))
            };
            names.extend(literals(&code(&file)).into_iter().filter(|text| is_name(&text.as_str())));
        }
    }
    assert!(names.contains("_run_once") && names.contains("Lock.acquire"), "{names:?}");
    names
}

#[test]
fn no_other_file_has_the_name_of_a_known_function() {
    // Attributes and variables of objects that are read.
    let others = [
        "server_tasks",
        "gathered_server_tasks",
        "server_state",
        "default_headers",
        "_shutdown",
        "_getters",
        "_holders",
        "_maxsize",
        "_proxy",
        "_queue",
        "_waiters",
    ];
    let names = known_names();
    for file in files() {
        let code = code(&file);
        let mut found = literals(&code);
        found.retain(|text| names.contains(text) && !others.contains(&text.as_str()));
        assert!(found.is_empty(), "{}: {found:?}", shown(&file).display());
    }
}

/// A file that nothing names is not compiled, and a library that is not in the list is not looked
/// up: both without a word.
#[test]
fn each_file_of_what_is_known_is_listed() {
    let code = code(&root().join("src/known.rs"));
    let (_, list) = code.split_once("\nlibraries! {").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    let names = list.lines().map(|line| line.split("//").next().unwrap()).flat_map(|line| {
        line.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
    });
    let libraries: BTreeSet<String> = names.collect();
    let modules =
        code.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    let modules: BTreeSet<String> =
        modules.filter_map(|rest| Some(rest.strip_suffix(';')?.to_owned())).collect();
    for entry in std::fs::read_dir(root().join("src/known")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let is_library = self::code(&file).contains("LIBRARY: Library");
        let listed = if is_library { &libraries } else { &modules };
        assert!(listed.contains(name), "{} is not listed in src/known.rs", shown(&file).display());
    }
    assert!(libraries.len() > 10 && modules.contains("purpose"), "{libraries:?} {modules:?}");
}
