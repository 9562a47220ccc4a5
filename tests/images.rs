//! Images of programs, read without them: no Python is needed, and nothing runs but the tool.
//!
//! `tests/images/VERSION/NAME.image` is what `aiospy dump --save-image` has saved of a program of
//! `tests/programs`, `NAME.truth.json.gz` what that program said of itself, and `NAME.json.gz` what
//! is read of the image. What is read has to be what was read before, and what the program says.
//!
//! * `scripts/images` saves all images anew, with the Pythons of `scripts/pythons`.
//! * `AIOSPY_IMAGES=write cargo test --test images` writes anew what is read of them. What has
//!   changed is listed; look at it before it is committed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use aiospy::session::SavedTarget;
use aiospy::snapshot::Snapshot;
use aiospy::watch::look;
use aiospy::{Inspector, Options};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::expected::{self, Given};
use support::{Python, VERSIONS, aiospy, texts};

/// Images that there must be of each version.
const AT_LEAST: usize = 10;
/// The most that all files may take together.
const MAX_SIZE: u64 = 10 << 20;
/// Damaged images of each version, and what they are drawn from.
const DAMAGED: usize = 40;
const DAMAGE: u64 = 0x2545_f491_4f6c_dd1d;
/// Differences that are shown.
const SHOWN: usize = 20;

fn main() {
    let passes = |run: Box<dyn FnOnce() + Send>| {
        move || {
            run();
            Ok(())
        }
    };
    let mut trials = vec![Trial::test("size", passes(Box::new(size)))];
    for version in VERSIONS {
        let images = images(version);
        if let Some(image) = images.first().cloned() {
            trials.push(Trial::test(
                format!("damaged::{version}"),
                passes(Box::new(move || damaged(&image))),
            ));
        }
        trials.extend(images.iter().map(|image| {
            let name = format!("{}::{version}", image.file_stem().unwrap().to_str().unwrap());
            let image = image.clone();
            Trial::test(name, move || check(version, &image))
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn folder() -> PathBuf {
    support::root().join("tests/images")
}

fn images(version: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(version));
    let entries = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut images: Vec<_> = entries.filter(|it| it.extension().unwrap() == "image").collect();
    images.sort_unstable();
    images
}

/// There are images of each version, and together they are small.
fn size() {
    let mut size = 0;
    for version in VERSIONS {
        let count = images(version).len();
        assert!(count >= AT_LEAST, "{count} images of {version}");
        let files = fs::read_dir(folder().join(version)).unwrap();
        size += files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
    }
    assert!(size <= MAX_SIZE, "{size} bytes");
}

fn check(version: &str, image: &Path) -> Result<(), Failed> {
    let is_truth = image.ends_with("truth.image");
    let dump = read("dump", image, &["--finished", "--locals"]);
    support::check_schema(&dump);
    // The variables of what runs may be of another moment than its frames.
    let has_all = dump["consistency"] != "exact" || !dump.to_string().contains("<unreadable");
    assert!(has_all, "a value is missing");
    assert_eq!(dump["problems"], Value::Array(Vec::new()));
    let truth = unpack(&image.with_extension("truth.json.gz"));
    let mut wrong = Vec::new();
    if is_truth {
        let python = Python {
            version: version.to_owned(),
            path: PathBuf::new(),
            root: None,
            venv: None,
            uvloop: None,
        };
        wrong.extend(support::truth::differences(&python, &truth, &dump));
    } else {
        let check = read("check", image, &[]);
        assert_eq!(check["findings"], dump["findings"], "check and dump differ");
        let findings = dump["findings"].as_array().unwrap();
        let said = expected::differences(&truth, findings);
        if !said.is_empty() {
            wrong.push(format!("{}\ngiven:\n{}", said.join("\n"), expected::listed(findings)));
        }
        if truth["expect"] == Value::Array(Vec::new()) {
            let alarms = findings.iter().filter(|finding| Given(finding).is_alarming());
            assert_eq!(alarms.count(), 0, "{}", expected::listed(findings));
        }
        wrong.extend(expected::wrong_waits(&truth, &dump));
    }
    assert!(wrong.is_empty(), "{:#?}", wrong.iter().take(SHOWN).collect::<Vec<_>>());

    let mut missing = Vec::new();
    compare("", &dump, &read_and_written(&dump), &mut missing);
    assert!(missing.is_empty(), "{:#?}", missing.iter().take(SHOWN).collect::<Vec<_>>());

    let file = image.with_extension("json.gz");
    let before = if file.exists() { unpack(&file) } else { Value::Null };
    let mut changed = Vec::new();
    compare("", &before, &dump, &mut changed);
    if changed.is_empty() {
        return Ok(());
    }
    let list = changed.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    let list = format!("{} differences to what was read before:\n{list}", changed.len());
    if std::env::var("AIOSPY_IMAGES").is_ok_and(|mode| mode == "write") {
        eprintln!("{}: {list}", image.display());
        pack(&file, &dump);
        return Ok(());
    }
    Err(list.into())
}

/// A file that is whole by its checksum but not what was written is read to an end, or refused.
fn damaged(image: &Path) {
    let mut sound = Vec::new();
    GzDecoder::new(fs::File::open(image).unwrap()).read_to_end(&mut sound).unwrap();
    let mut numbers = DAMAGE;
    let mut below = |end: usize| {
        numbers ^= numbers << 13;
        numbers ^= numbers >> 7;
        numbers ^= numbers << 17;
        usize::try_from(numbers % u64::try_from(end).unwrap()).unwrap()
    };
    let mut refused = 0;
    for _ in 0..DAMAGED {
        let mut bytes = sound.clone();
        match below(4) {
            0 => bytes.truncate(below(sound.len())),
            1 => bytes.extend_from_slice(b"more"),
            _ => {
                for _ in 0..1 << below(8) {
                    let at = below(bytes.len());
                    bytes[at] = below(256).to_le_bytes()[0];
                }
            }
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&bytes).unwrap();
        let packed = packed.finish().unwrap();
        match SavedTarget::read(&*packed) {
            Ok(saved) => {
                let read = Inspector::open(saved);
                let _ = read.and_then(|mut it| look(&mut it, &Options::default(), 2));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0 && refused < DAMAGED, "{refused} of {DAMAGED} refused");
}

/// A document that was read and is written again.
fn read_and_written(document: &Value) -> Value {
    let snapshot = Snapshot::from_json(document.to_string().as_bytes()).unwrap();
    let mut written = serde_json::to_value(&snapshot).unwrap();
    // What is derived from the rest when it is written.
    for field in ["schema", "tool", "groups"] {
        written[field] = document[field].clone();
    }
    written
}

/// What a command says of an image, but for what is other each time.
fn read(command: &str, image: &Path, options: &[&str]) -> Value {
    let mut arguments = vec![command, "--json=full", "--image", image.to_str().unwrap()];
    arguments.extend(options);
    let output = aiospy(&arguments);
    let (stdout, stderr) = texts(&output);
    let mut said: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| {
        panic!("{arguments:?}: {error}, {}: {stderr}", output.status);
    });
    // How long it took to read, and who reads.
    said["elapsed_ms"] = 0.0.into();
    said["tool"]["version"] = "0".into();
    said
}

fn unpack(file: &Path) -> Value {
    let mut text = String::new();
    let packed = fs::File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    support::parse(&text)
}

fn pack(file: &Path, value: &Value) {
    let mut to = GzEncoder::new(fs::File::create(file).unwrap(), Compression::best());
    to.write_all(serde_json::to_string(value).unwrap().as_bytes()).unwrap();
    to.finish().unwrap();
}

/// Lists where two documents differ.
fn compare(place: &str, before: &Value, now: &Value, changed: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(all), Value::Object(others)) => {
            let mut keys: Vec<&String> = all.keys().chain(others.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                compare(&format!("{place}.{key}"), &before[key], &now[key], changed);
            }
        }
        (Value::Array(all), Value::Array(others)) if all.len() == others.len() => {
            for (i, (before, now)) in all.iter().zip(others).enumerate() {
                compare(&format!("{place}[{i}]"), before, now, changed);
            }
        }
        _ if before == now => {}
        _ => changed.push(format!("{place}: was {before:.300}, is {now:.300}")),
    }
}
