//! A target that lies: its memory is saved, damaged in many ways and read again. Whatever it
//! says, reading ends soon, never panics and never grows without bound.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use aiospy::memory::TimeLimit;
use aiospy::session::SavedTarget;
use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use serde_json::Value;

use super::per_version;
use super::support::{Program, Python, aiospy, dump, texts};

/// Damaged images per version.
const IMAGES: u64 = 60;
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

/// Numbers that look random and are the same every time (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

fn damaged(python: &Python) {
    let (_, saved) = save(python);
    let minor = u64::from(python.minor());
    for i in 0..IMAGES {
        let mut image = saved.clone();
        damage(&mut image, &mut Numbers(minor << 32 | (i + 1)));
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let result = Inspector::open(image).and_then(|mut it| it.snapshot(&options()));
            let frames = result
                .map(|snapshot| snapshot.tasks.iter().map(|task| task.frames.len()).sum::<usize>());
            let _ = sender.send(frames.unwrap_or(0));
        });
        match receiver.recv_timeout(ENDS_WITHIN) {
            Ok(frames) => assert!(frames < MAX_FRAMES, "image {i}: {frames} frames"),
            Err(RecvTimeoutError::Disconnected) => panic!("image {i}: panic"),
            Err(RecvTimeoutError::Timeout) => panic!("image {i}: does not end"),
        }
    }
}

/// Changes some words of an image: to other pointers of it, to counts that are too large, to
/// anything; and takes pages away.
fn damage(saved: &mut SavedTarget, numbers: &mut Numbers) {
    let mut pages: Vec<_> =
        saved.image.parts_mut().map(|(_, bytes)| bytes).filter(|it| it.len() >= 8).collect();
    let pointers: Vec<[u8; 8]> = (0..256)
        .map(|_| {
            let page = &pages[numbers.below(pages.len())];
            let at = numbers.below(page.len() / 8) * 8;
            page[at..at + 8].try_into().unwrap()
        })
        .collect();
    // From a little, which is followed far, to a lot.
    let words = 1 << numbers.below(12);
    for _ in 0..words {
        let page = numbers.below(pages.len());
        let at = numbers.below(pages[page].len() / 8) * 8;
        let word = match numbers.below(6) {
            0 | 1 => pointers[numbers.below(pointers.len())],
            2 => (numbers.next() >> numbers.below(64)).to_le_bytes(),
            3 => [0xff; 8],
            4 => [0; 8],
            _ => {
                let mut word: [u8; 8] = pages[page][at..at + 8].try_into().unwrap();
                word[numbers.below(8)] ^= 1 << numbers.below(8);
                word
            }
        };
        pages[page][at..at + 8].copy_from_slice(&word);
    }
    for _ in 0..numbers.below(3) {
        let page = numbers.below(pages.len());
        pages[page].clear();
    }
}
