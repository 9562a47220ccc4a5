//! The README and `docs/` say what holds: versions, commands, options, files. Output is held
//! against a run in `live/demo.rs` and `live/top.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use support::pages::{all_pages, helps, page, pages};
use support::{VERSIONS, aiospy, root, texts};

/// The most lines that the README has.
const MOST_LINES: usize = 200;
/// Where the files of the repository lie that pages name.
const FOLDERS: [&str; 8] =
    ["src/", "ui/", "tests/", "scripts/", "examples/", "deploy/", "docs/", "."];

/// The lines of the table that begins with `head`.
fn table<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    lines.take_while(|line| line.starts_with('|')).collect()
}

/// The commands that a page's table has.
fn commands_of(text: &str) -> Vec<&str> {
    let rows = table(text, "| command | does |");
    rows.iter().filter_map(|row| row.strip_prefix("| `aiospy ")?.split([' ', '`']).next()).collect()
}

/// What stands in code within a sentence.
fn code_of(text: &str) -> Vec<&str> {
    let mut is_block = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_block ^= is_fence;
        !is_block && !is_fence
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Where the links of a page lead that stay in the repository.
fn links_of(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
    files.filter_map(|link| link.split('#').next()).collect()
}

#[test]
fn support_matrix_is_the_list_of_the_tests() {
    // Every version is tested with both: tests/live/truth.rs.
    let rows: Vec<String> = VERSIONS.iter().map(|v| format!("| {v} | yes | yes |")).collect();
    let readme = page("README.md");
    assert_eq!(table(&readme, "| CPython |"), rows);
    assert!(readme.contains(&aiospy::layout::supported()));
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= MOST_LINES, "{lines} lines; details belong in docs/");
}

#[test]
fn commands_are_those_of_the_help() {
    let commands: Vec<String> = helps().into_iter().map(|(command, _)| command).collect();
    assert_eq!(commands_of(&page("docs/commands.md")), commands);
    let readme = page("README.md");
    let named = commands_of(&readme);
    assert!(!named.is_empty() && named.iter().all(|it| commands.iter().any(|known| known == it)));
}

/// Options of a feature that is off by default.
const OF_OTLP: [&str; 2] = ["--otlp", "--otlp-service"];

#[test]
fn options_that_are_named_exist() {
    let helps = helps();
    let mut all = texts(&aiospy(&["--help"])).0;
    all.extend(helps.iter().map(|(_, help)| help.as_str()));
    let known: Vec<&str> = all.split(|c: char| c != '-' && !c.is_ascii_alphanumeric()).collect();
    let is_ours = |code: &&str| {
        let first = code.split(' ').next().unwrap();
        first.starts_with('-') || first == "aiospy" || helps.iter().any(|(it, _)| it == first)
    };
    let mut count = 0;
    for (file, text) in pages() {
        // What stands behind `--` is another program's.
        let ours = code_of(&text).into_iter().filter(is_ours);
        let words = ours.flat_map(|code| code.split(" -- ").next().unwrap().split([' ', '=']));
        let options =
            words.filter(|word| word.starts_with('-') && !word.trim_matches('-').is_empty());
        for option in options {
            if OF_OTLP.contains(&option) && !cfg!(feature = "otlp") {
                continue;
            }
            assert!(known.contains(&option), "{option} in {}", file.display());
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn codes_that_are_named_exist() {
    let mut count = 0;
    for (file, text) in pages() {
        // In reports, `[loop-blocked]`; a link goes on with its address.
        for rest in text.split('[').skip(1) {
            let Some((code, rest)) = rest.split_once(']') else { continue };
            let is_code =
                code.contains('-') && code.chars().all(|c| c == '-' || c.is_ascii_lowercase());
            if is_code && !rest.starts_with('(') {
                let is_known = aiospy::snapshot::Code::ALL.iter().any(|it| it.as_str() == code);
                assert!(is_known, "{code} in {}", file.display());
                count += 1;
            }
        }
    }
    assert!(count > 5, "{count}");
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
    let (ours, theirs): (String, String) =
        (is_digit(codes(&page("docs/commands.md"))), is_digit(codes(&help)));
    assert_eq!((ours.as_str(), theirs.as_str()), ("0123", "0123"));
}

#[test]
fn links_lead_somewhere() {
    for (file, text) in all_pages() {
        for link in links_of(&text) {
            let to = file.parent().unwrap().join(link);
            assert!(to.exists(), "{link} in {}", file.display());
        }
    }
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = page("README.md");
    let linked = links_of(&readme);
    for (file, _) in pages() {
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap();
        assert!(name == "README.md" || linked.contains(&name), "{name}");
    }
}

#[test]
fn files_that_are_named_exist() {
    let mut count = 0;
    for (file, text) in all_pages() {
        let words = code_of(&text).into_iter().filter_map(|code| code.split(' ').next());
        let is_placeholder = |name: &str| name.chars().any(|c| c.is_ascii_uppercase());
        let files = words.filter(|name| FOLDERS.iter().any(|folder| name.starts_with(folder)));
        for name in files.filter(|name| name.contains('/') && !is_placeholder(name)) {
            assert!(root().join(name).exists(), "{name} in {}", file.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
