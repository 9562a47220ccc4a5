//! The README says what holds: versions, commands, files. Its output is held against a run in
//! `live/demo.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use support::{VERSIONS, aiospy, root, texts};

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The lines of the table that begins with `head`.
fn table<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    lines.take_while(|line| line.starts_with('|')).collect()
}

#[test]
fn support_matrix_is_the_list_of_the_tests() {
    // Every version is tested with both: tests/live/truth.rs.
    let rows: Vec<String> = VERSIONS.iter().map(|v| format!("| {v} | yes | yes |")).collect();
    assert_eq!(table(&readme(), "| CPython |"), rows);
}

#[test]
fn commands_are_those_of_the_help() {
    let (help, _) = texts(&aiospy(&["--help"]));
    let listed = help.split_once("Commands:\n").unwrap().1.lines();
    let commands: Vec<&str> = listed
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split(' ').next())
        .filter(|command| *command != "help")
        .collect();
    let readme = readme();
    let named: Vec<&str> = table(&readme, "| command |")
        .iter()
        .filter_map(|row| row.strip_prefix("| `aiospy ")?.split([' ', '`']).next())
        .collect();
    assert_eq!(named, commands);
}

#[test]
fn codes_that_are_named_exist() {
    // In reports, `!! critical [loop-blocked]`.
    let readme = readme();
    for severity in ["critical", "warning", "info"] {
        for rest in readme.split(&format!("{severity} [")).skip(1) {
            let code = rest.split(']').next().unwrap();
            let is_known = aiospy::snapshot::Code::ALL.iter().any(|known| known.as_str() == code);
            assert!(is_known, "{code}");
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let (help, _) = texts(&aiospy(&["--help"]));
    let codes = |text: &str| -> Vec<char> {
        let list = text.split_once("Exit codes: ").unwrap().1;
        let list = list.split("\n\n").next().unwrap();
        list.split([',', ';']).filter_map(|part| part.trim().chars().next()).collect()
    };
    let is_digit = |codes: Vec<char>| codes.into_iter().filter(char::is_ascii_digit).collect();
    let (ours, theirs): (String, String) = (is_digit(codes(&readme())), is_digit(codes(&help)));
    assert_eq!((ours.as_str(), theirs.as_str()), ("0123", "0123"));
}

#[test]
fn files_that_are_named_exist() {
    for name in [
        "schema.json",
        "LICENSE",
        "scripts/test",
        "scripts/pythons",
        "scripts/release",
        ".ci/run",
        "deploy/debug-pod.yaml",
        "deploy/sidecar.yaml",
        "deploy/daemonset.yaml",
    ] {
        assert!(readme().contains(name) && root().join(name).exists(), "{name}");
    }
}
