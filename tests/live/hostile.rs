//! A target that lies: its memory is saved, damaged in many ways and read again. Whatever it
//! says, reading ends soon, never panics and never grows without bound.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use aiospy::memory::TimeLimit;
use aiospy::session::SavedTarget;
use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::Value;

use super::per_version;
use super::support::{self, Program, Python, aiospy, dump, texts};

/// Damaged images per version; the example `fuzz_image` reads thousands of them, optimised.
const IMAGES: u32 = 20;
/// How long reading one may take: a sound one takes some 30 ms in a debug build.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Tasks and frames that a damaged image of some hundred kilobytes may at most seem to have.
const MAX_FRAMES: usize = 5_000_000;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "image::read_again", |_| true, read_again);
    per_version(trials, "image::damaged", |_| true, damaged);
    per_version(trials, "damaged::objects", |_| true, damaged_objects);
    per_version(trials, "damaged::interpreters", |_| true, damaged_interpreters);
}

fn options() -> Options {
    let mut options = Options::default();
    options.locals = aiospy::Locals::WithoutSecrets;
    options.finished = true;
    options
}

fn save(python: &Python) -> (Value, SavedTarget) {
    let program = Program::start(&python.path, "truth.py", &["--mode", "blocked"]);
    let mut inspector = Inspector::attach_saving(program.pid(), &TimeLimit::default()).unwrap();
    let snapshot = inspector.snapshot(&options()).unwrap();
    let saved = inspector.saved(false).unwrap().unwrap();
    (serde_json::to_value(snapshot).unwrap(), saved)
}

/// What cannot be read of a target that has damaged itself is told of, all of it.
fn damaged_objects(python: &Python) {
    let program = Program::start(&python.path, "damaged.py", &["objects"]);
    let dump = dump(program.pid(), &["--locals"]);
    let problems = dump["problems"].as_array().unwrap();
    let places: Vec<&str> = problems.iter().map(|it| it["where"].as_str().unwrap()).collect();
    let texts = |key: &str| -> Vec<String> {
        let all = program.truth[key].as_array().unwrap().iter();
        all.map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    for place in texts("damaged") {
        assert!(places.contains(&&*place), "{place} is not in {problems:#?}");
    }
    for id in texts("unread") {
        assert!(places.contains(&&*format!("task {id}")), "{id} is not in {problems:#?}");
        assert!(!dump["tasks"].as_array().unwrap().iter().any(|task| task["id"] == *id));
    }
    assert_eq!(dump["unread_tasks"], texts("unread").len());
    // Nothing ran, so nothing has changed.
    assert_eq!(dump["consistency"], "exact");
    let is_changed = |it: &&Value| it["cause"].as_str().unwrap().contains("changed");
    assert_eq!(problems.iter().find(is_changed), None);
}

/// A list of interpreters without end does not hold anybody.
fn damaged_interpreters(python: &Python) {
    let program = Program::start(&python.path, "damaged.py", &["interpreters"]);
    for command in ["dump", "check", "doctor"] {
        let output = aiospy(&[command, "--timeout", "60s", &program.pid().to_string()]);
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {stdout}{stderr}");
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("list of interpreters"), "{command}: {said}");
    }
}

/// What was saved gives the same snapshot again, without the process.
fn read_again(python: &Python) {
    let (mut live, saved) = save(python);
    let again = Inspector::open(saved).unwrap().snapshot(&options()).unwrap();
    let mut again = serde_json::to_value(again).unwrap();
    // How long it took to read.
    (live["elapsed_ms"], again["elapsed_ms"]) = (Value::Null, Value::Null);
    for (part, value) in live.as_object().unwrap() {
        assert_eq!(*value, again[part], "{part}");
    }
    assert_eq!(live, again);
}

fn damaged(python: &Python) {
    let (_, saved) = save(python);
    let seed = support::seed();
    let mut runner = TestRunner::new(Config {
        cases: IMAGES,
        failure_persistence: None,
        max_shrink_time: 60_000,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    let found = runner.run(&damage(), |damage| {
        let mut image = saved.clone();
        damage.apply(&mut image);
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let result = Inspector::open(image).and_then(|mut it| it.snapshot(&options()));
            let frames = result
                .map(|snapshot| snapshot.tasks.iter().map(|task| task.frames.len()).sum::<usize>());
            let _ = sender.send(frames.unwrap_or(0));
        });
        match receiver.recv_timeout(ENDS_WITHIN) {
            Ok(frames) if frames < MAX_FRAMES => Ok(()),
            Ok(frames) => Err(TestCaseError::fail(format!("{frames} frames"))),
            Err(RecvTimeoutError::Disconnected) => Err(TestCaseError::fail("a panic")),
            Err(RecvTimeoutError::Timeout) => Err(TestCaseError::fail("it does not end")),
        }
    });
    if let Err(failure) = found {
        panic!("with AIOSPY_SEED={seed}: {failure}");
    }
}

/// What is done to an image.
#[derive(Debug, Clone)]
struct Damage {
    /// Words, by their page and place there, and what becomes of them.
    words: Vec<(Index, Index, Word)>,
    /// Pages that are taken away.
    gone: Vec<Index>,
}

#[derive(Debug, Clone)]
enum Word {
    /// That of another place, by its page and place there: often a pointer.
    Other(Index, Index),
    Number(u64),
    /// One of its bits is the other way round.
    Flipped(u32),
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![
        2 => any::<(Index, Index)>().prop_map(|(page, at)| Word::Other(page, at)),
        1 => (any::<u64>(), 0..64u32).prop_map(|(number, shift)| Word::Number(number >> shift)),
        1 => Just(Word::Number(u64::MAX)),
        1 => Just(Word::Number(0)),
        1 => (0..64u32).prop_map(Word::Flipped),
    ];
    // From a little, which is followed far, to a lot.
    let words = (0..12u32).prop_flat_map(move |log| {
        vec((any::<Index>(), any::<Index>(), word.clone()), 1..=1 << log)
    });
    (words, vec(any::<Index>(), 0..3)).prop_map(|(words, gone)| Damage { words, gone })
}

impl Damage {
    fn apply(&self, saved: &mut SavedTarget) {
        let mut pages: Vec<_> =
            saved.image.parts_mut().map(|(_, bytes)| bytes).filter(|it| it.len() >= 8).collect();
        let place = |pages: &[&mut Vec<u8>], page: &Index, at: &Index| {
            let page = page.index(pages.len());
            (page, at.index(pages[page].len() / 8) * 8)
        };
        let read = |pages: &[&mut Vec<u8>], (page, at): (usize, usize)| {
            u64::from_le_bytes(pages[page][at..at + 8].try_into().unwrap())
        };
        for (page, at, word) in &self.words {
            let (page, at) = place(&pages, page, at);
            let word = match word {
                Word::Other(page, at) => read(&pages, place(&pages, page, at)),
                Word::Number(number) => *number,
                Word::Flipped(bit) => read(&pages, (page, at)) ^ 1 << bit,
            };
            pages[page][at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        for page in &self.gone {
            let page = page.index(pages.len());
            pages[page].clear();
        }
    }
}
