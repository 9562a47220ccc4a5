//! The text of reports: source lines are those of the file, also below another root; `check` says
//! when all is well.

use std::collections::BTreeSet;
use std::path::PathBuf;

use libtest_mimic::Trial;
use serde_json::Value;

use super::per_version;
use super::support::{Program, Python, aiospy, check_schema, root, texts};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "report::source", |_| true, source);
    per_version(trials, "report::changed-source", |_| true, changed_source);
    per_version(trials, "report::check", |_| true, check);
    per_version(trials, "report::private", |minor| [8, 12, 15].contains(&minor), private);
}

/// The source lines that a report shows: the file and line of the place above it, and the text.
fn shown(report: &str) -> Vec<(PathBuf, usize, String)> {
    let lines: Vec<&str> = report.lines().collect();
    let place = |pair: &[&str]| {
        let (number, text) = pair[1].rsplit_once(" │ ")?;
        let number: usize = number.rsplit(' ').next()?.parse().ok()?;
        let end = format!(":{number}");
        let file = pair[0].split(' ').find_map(|word| word.strip_suffix(&end));
        let file = file.unwrap_or_else(|| panic!("no place above {}\n{report}", pair[1]));
        Some((PathBuf::from(file), number, text.to_owned()))
    };
    lines.windows(2).filter_map(place).collect()
}

fn dumped(program: &Program, options: &[&str]) -> String {
    let pid = program.pid().to_string();
    let (stdout, stderr) = texts(&aiospy(&[&["dump", &pid][..], options].concat()));
    assert!(!stdout.is_empty(), "{stderr}");
    stdout
}

fn source(python: &Python) {
    let program = Program::start::<&str>(&python.path, "truth.py", &[]);
    let report = dumped(&program, &["--tree=full"]);
    let all = shown(&report);
    assert!(all.len() >= 10, "{report}");
    for (file, number, shown) in all {
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().nth(number - 1).unwrap().trim();
        assert_eq!(line, shown, "{}:{number}\n{report}", file.display());
        assert!(file.starts_with(root()), "{}", file.display());
    }
    assert!(!report.contains("changed since"), "{report}");
    assert!(shown(&dumped(&program, &["--no-source", "--tree=full"])).is_empty());
}

/// No secret of a program is in any report of it, unless it is asked for.
fn private(python: &Python) {
    let program = Program::start::<&str>(&python.path, "private.py", &[]);
    let hidden = program.truth["hidden"].as_str().unwrap();
    let places = [
        "attribute",
        "dsn",
        "url",
        "slot",
        "field",
        "header",
        "scope",
        "variable",
        "text",
        "nested",
    ];
    for options in [&["--locals"][..], &["--locals", "--json"], &["--locals", "--flat"]] {
        let report = dumped(&program, options);
        let at = report.find(hidden).map(|at| &report[at.saturating_sub(100)..at + 40]);
        assert_eq!(at, None, "{options:?}");
        for shown in program.truth["shown"].as_array().unwrap() {
            assert!(report.contains(shown.as_str().unwrap()), "{options:?} lacks {shown}");
        }
        let report = dumped(&program, &[options, &["--show-secrets"]].concat());
        for place in places {
            assert!(report.contains(&format!("{hidden}-{place}")), "{options:?} lacks {place}");
        }
    }
}

fn changed_source(python: &Python) {
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let file = folder.path().join("napper.py");
    let program = "import asyncio, sys\n\
                   async def nap():\n    await asyncio.sleep(3600)\n\
                   async def main():\n\
                   \x20   loop, task = asyncio.get_running_loop(), asyncio.ensure_future(nap())\n\
                   \x20   loop.add_reader(0, task.cancel)\n\
                   \x20   loop.call_soon(lambda: print('READY', flush=True))\n\
                   \x20   await asyncio.wait([task])\n\
                   asyncio.run(main())\n";
    std::fs::write(&file, program).unwrap();
    let mut command = std::process::Command::new(&python.path);
    command.arg(&file);
    let program = Program::spawn(command);
    assert!(dumped(&program, &["--tree=full"]).contains(" 3 │ await asyncio.sleep(3600)\n"));
    // One line more at the beginning: each number now leads to another line.
    std::fs::write(&file, "\nimport something_else\n").unwrap();
    let report = dumped(&program, &["--tree=full"]);
    assert!(shown(&report).is_empty(), "{report}");
    assert!(report.contains("no source lines, changed since the start: "), "{report}");
}

fn check(python: &Python) {
    // As healthy as a program can be.
    let program = Program::start(&python.path, "many.py", &["100", "3"]);
    let pid = program.pid().to_string();
    let output = aiospy(&["check", &pid]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    let verdict = stdout.lines().last().unwrap();
    assert!(verdict.starts_with("ok: ") && verdict.ends_with("(101 tasks, 1 loop)"), "{stdout}");

    let output = aiospy(&["check", "--json=full", "--looks", "1", "-p", &pid]);
    let document: Value = serde_json::from_str(&texts(&output).0).unwrap();
    check_schema(&document);
    assert_eq!(document["looks"], 1);
    assert_eq!(document["process"]["pid"], program.pid());
    let findings = document["findings"].as_array().unwrap();
    let named: BTreeSet<&str> = findings
        .iter()
        .flat_map(|finding| finding["tasks"].as_array().unwrap())
        .map(|id| id.as_str().unwrap())
        .collect();
    let tasks = document["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(tasks.iter().all(|task| named.contains(task["id"].as_str().unwrap())));
}
