//! What is saved of a program says the same as the program, and no secrets where they are hidden.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use libtest_mimic::Trial;
use serde_json::Value;

use super::support::{self, Program, Python, aiospy, texts};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(
        trials,
        "image::same",
        |_| true,
        |python| {
            same(&python.path, "truth.py", &["--mode", "blocked"], &["--finished", "--locals"]);
        },
    );
    per_version(
        trials,
        "image::same::moving",
        |_| true,
        |python| {
            same(&python.path, "healthy/busy_service.py", &[], &[]);
        },
    );
    per_version(
        trials,
        "image::same::uvloop",
        |_| true,
        |python| {
            same(with_uvloop(python), "truth.py", &["--loop", "uvloop", "--mode", "blocked"], &[]);
        },
    );
    per_version(
        trials,
        "image::spinning",
        |_| true,
        |python| {
            same(&python.path, "scenarios/busy_spin.py", &[], &[]);
        },
    );
    per_version(trials, "image::masked", |_| true, masked);
}

/// A report in JSON, but for how long it took.
fn report(arguments: &[&str]) -> Value {
    let output = aiospy(arguments);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    let mut report: Value = serde_json::from_str(&stdout).unwrap();
    support::check_schema(&report);
    report["elapsed_ms"] = Value::Null;
    report
}

/// The image of a program says what was said of the program, word for word.
fn same(python: &Path, name: &str, arguments: &[&str], options: &[&str]) {
    let program = Program::start(python, name, arguments);
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("saved.image");
    let (image, pid) = (image.to_str().unwrap(), program.pid().to_string());
    let dump = [&["dump", "--json"], options].concat();
    let live = report(&[&dump[..], &[&pid, "--save-image", image]].concat());
    drop(program);
    let saved = report(&[&dump[..], &["--image", image]].concat());
    for (part, value) in live.as_object().unwrap() {
        assert_eq!(*value, saved[part], "{part}");
    }
    assert_eq!(live, saved);
    let (findings, stderr) = texts(&aiospy(&["check", "--json=full", "--image", image]));
    let findings: Value = serde_json::from_str(&findings).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!(findings["findings"], live["findings"]);
}

/// All that a file has, unpacked.
fn unpacked(image: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(image).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Whether bytes hold a text, with characters of one or of two bytes.
fn holds(bytes: &[u8], text: &str) -> bool {
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [text.as_bytes(), &wide].iter().any(|text| bytes.windows(text.len()).any(|it| it == *text))
}

/// An image with hidden texts has no secret of the program; one without has those that were shown,
/// and none that lie beside them.
fn masked(python: &Python) {
    let words = ["--password=s3cr3t-of-option", "-ps3cr3t-of-letter", "s3cr3t-of-word"];
    let program = Program::start(&python.path, "masked.py", &words);
    let folder = tempfile::tempdir().unwrap();
    let pid = program.pid().to_string();
    let save = |name: &str, more: &[&str]| {
        let image = folder.path().join(name);
        let dump = ["dump", &pid, "--locals", "--show-secrets", "--save-image"];
        let output = aiospy(&[&dump[..], &[image.to_str().unwrap()], more].concat());
        assert!(output.status.success(), "{}", texts(&output).1);
        image
    };
    let (plain, masked) = (save("plain", &[]), save("masked", &["--mask"]));
    let has = unpacked(&plain);
    for name in program.truth["shown"].as_array().unwrap() {
        let secret = format!("s3cr3t-of-{}", name.as_str().unwrap());
        assert!(holds(&has, &secret), "{secret} is not in the image");
    }
    let beside = format!("s3cr3t-of-{}", program.truth["beside"].as_str().unwrap());
    assert!(!holds(&has, &beside), "{beside} is in the image");
    let has = unpacked(&masked);
    assert!(!holds(&has, "s3cr3t") && !holds(&has, "of-text"), "a secret is in the image");

    // What is left is enough for the report.
    let task = |image: &Path| {
        let image = image.to_str().unwrap();
        let report = report(&["dump", "--json", "--locals", "--image", image]);
        assert_eq!(report["problems"], Value::Array(Vec::new()));
        let tasks = report["tasks"].as_array().unwrap().iter();
        let mut handlers = tasks.filter(|task| task["coroutine"] == "handle");
        (report["process"]["cmdline"].clone(), handlers.next().unwrap().clone())
    };
    let ((_, plain), (command, hidden)) = (task(&plain), task(&masked));
    for part in ["id", "name", "awaited_by", "coroutine"] {
        assert_eq!(plain[part], hidden[part], "{part}");
    }
    assert_eq!(plain["waiting_on"]["kind"], hidden["waiting_on"]["kind"]);
    let locals = hidden["frames"][0]["locals"].as_object().unwrap();
    assert_eq!(locals.len(), plain["frames"][0]["locals"].as_object().unwrap().len());
    assert_eq!(locals["text"].as_str().unwrap().len(), "'s3cr3t-of-text'".len());
    let command = command.as_array().unwrap();
    assert_eq!(command[2..], ["--password=‹hidden›", "-p‹hidden›", "‹hidden›"]);
}
