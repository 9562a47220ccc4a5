//! Damaged images of live programs, read and judged: `fuzz_image [--seconds N] [--seed N]`.
//!
//! Programs of the tests are started on every Python of `target/pythons.json` and saved, with all
//! that a snapshot reads of them. Each image is then damaged in another way: words become pointers
//! to other objects, to themselves, into their own page, words of other types, counts, no numbers;
//! pages are cut, emptied, filled. Whatever it says, it has to be read without a panic, within half
//! a second, and in bounded memory.
//!
//! A seed, which is printed, gives the same damage again to the same programs; where these lie in
//! memory is for the kernel to say. `--image SEED` reads that one image of each program. A program
//! of which an image fails is kept, and `--saved FILE --image SEED` reads that image again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test, which ends when reading does not"
)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aiospy::memory::{Address, TimeLimit};
use aiospy::session::SavedTarget;
use aiospy::watch::look;
use aiospy::{Inspector, Locals, Options};
use serde_json::Value;

/// What is saved of each version: programs of the tests with their arguments.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("truth.py", &["--mode", "blocked"]),
    ("service.py", &[]),
    ("service.py", &["--loop", "uvloop"]),
    ("executors.py", &[]),
    ("leftovers.py", &[]),
    ("endpoints.py", &[]),
    ("endpoints.py", &["--loop", "uvloop"]),
];
/// How long reading one image may take of the processor's time.
const SOON: Duration = Duration::from_millis(500);
/// One that takes so long does not end at all.
const NEVER: Duration = Duration::from_secs(20);
/// What all of it may take in memory at most, in MiB; the images themselves are some 100 MiB.
const MAX_MEMORY: u64 = 600;
/// Words of one image that are changed at most.
const MAX_WORDS_LOG2: usize = 13;

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A program that was saved.
struct Saved {
    name: String,
    target: SavedTarget,
    pages: usize,
    /// What attaching reads: where any of it is damaged, the whole image is mostly refused.
    proof: Vec<Range<u64>>,
}

impl Saved {
    /// Keeps it beside its proof, and says where.
    fn keep(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.image", self.name.trim().replace(' ', "_")));
        self.target.write(File::create(&file).unwrap()).unwrap();
        let proof = serde_json::to_string(&self.proof).unwrap();
        std::fs::write(file.with_extension("proof"), proof).unwrap();
        file
    }

    fn read(file: &Path) -> Self {
        let mut target = SavedTarget::read(File::open(file).unwrap()).unwrap();
        let proof = std::fs::read_to_string(file.with_extension("proof")).unwrap();
        let pages = target.image.parts_mut().count();
        let proof = serde_json::from_str(&proof).unwrap();
        Self { name: file.display().to_string(), target, pages, proof }
    }
}

/// What came of all images.
#[derive(Default)]
struct Totals {
    images: u64,
    refused: u64,
    slowest: Duration,
    failures: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).and_then(|value| value.parse().ok()).unwrap_or_else(|| {
            panic!("{name} wants a number");
        }))
    };
    let seconds = option("--seconds").unwrap_or(60);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = option("--seed").unwrap_or(u64::from(since_epoch.subsec_nanos()));
    let only = option("--image");
    let file = arguments.iter().position(|argument| argument == "--saved");
    let all = match file {
        Some(at) => vec![Saved::read(Path::new(&arguments[at + 1]))],
        None => save_all(),
    };
    assert!(!all.is_empty(), "no Python; scripts/pythons gets them");
    let largest = all.iter().map(|saved| saved.pages).max().unwrap_or(0);
    println!("seed {seed}, {} programs of up to {largest} pages", all.len());
    let now = watched();
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let mut totals = Totals::default();
    let mut numbers = Numbers(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end && totals.failures.len() < 10 {
        for saved in &all {
            // Of small ones more, so that all get as much time.
            let times = if only.is_some() { 1 } else { (largest / saved.pages).clamp(1, 50) };
            for _ in 0..times {
                let seed = only.unwrap_or_else(|| numbers.next());
                let name = format!("{} --image {seed}", saved.name);
                *now.lock().unwrap() = Some((name, Instant::now()));
                read(saved, seed, &mut totals);
            }
        }
        if only.is_some() {
            break;
        }
    }
    *now.lock().unwrap() = None;
    let memory = high_water();
    if memory > MAX_MEMORY {
        totals.failures.push(format!("{memory} MiB of memory"));
    }
    for failure in &totals.failures {
        println!("FAILED: {failure}");
    }
    println!(
        "{} refused as a whole, the slowest took {:?}, {memory} MiB at most",
        totals.refused, totals.slowest
    );
    let failed = totals.failures.len();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let passed = totals.images.saturating_sub(u64::try_from(failed).unwrap());
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored;");
    ExitCode::from(u8::from(failed > 0))
}

fn options() -> Options {
    let mut options = Options::default();
    options.locals = Locals::WithSecrets;
    options.finished = true;
    options
}

/// Saves the programs on all versions.
fn save_all() -> Vec<Saved> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pythons.json");
    let list = std::fs::read_to_string(list).unwrap_or_default();
    let list: Value = serde_json::from_str(&list).unwrap_or_default();
    let pythons = list["interpreters"].as_array().cloned().unwrap_or_default();
    let programs = pythons.iter().flat_map(|python| PROGRAMS.iter().map(move |it| (python, it)));
    programs.filter_map(|(python, (name, arguments))| save(python, name, arguments)).collect()
}

fn save(python: &Value, name: &str, arguments: &[&str]) -> Option<Saved> {
    let is_uvloop = arguments.contains(&"uvloop");
    if is_uvloop && !python["uvloop"].is_string() {
        return None;
    }
    let program = python[if is_uvloop { "venv" } else { "python" }].as_str()?;
    let program = Program::start(program, name, arguments);
    let pid = i32::try_from(program.0.id()).unwrap();
    let mut inspector = Inspector::attach_saving(pid, &TimeLimit::default()).unwrap();
    let mut attached = inspector.saved(false).unwrap().unwrap();
    let range = |(at, bytes): (Address, &mut Vec<u8>)| at.0..at.0 + bytes.len() as u64;
    let proof = attached.image.parts_mut().map(range).collect();
    inspector.snapshot(&options()).unwrap();
    let mut target = inspector.saved(false).unwrap().unwrap();
    let pages = target.image.parts_mut().count();
    let version = python["version"].as_str()?;
    Some(Saved { name: format!("{version} {name} {}", arguments.join(" ")), target, pages, proof })
}

/// A program of the tests that has reached its state; it is ended when dropped.
struct Program(Child);

impl Program {
    fn start(python: &str, name: &str, arguments: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
        let mut command = Command::new(python);
        // It ends at the end of its standard input, too.
        command.arg(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = lines.map_while(Result::ok).any(|line| line == "READY");
        assert!(is_ready, "{command:?} ended before it was ready");
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is read now and since when; a thread ends it all when that never ends.
fn watched() -> Arc<Mutex<Option<(String, Instant)>>> {
    let now: Arc<Mutex<Option<(String, Instant)>>> = Arc::default();
    let seen = Arc::clone(&now);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(NEVER / 20);
            let hung = seen.lock().unwrap().clone().filter(|(_, since)| since.elapsed() > NEVER);
            if let Some((name, _)) = hung {
                println!("FAILED: {name}: does not end");
                println!("test result: FAILED. 0 passed; 1 failed; 0 ignored;");
                std::process::exit(1);
            }
        }
    });
    now
}

/// Damages one image and reads it.
fn read(saved: &Saved, seed: u64, totals: &mut Totals) {
    let mut target = saved.target.clone();
    let mut numbers = Numbers(seed);
    let spared = if numbers.below(8) == 0 { &[][..] } else { &saved.proof };
    damage(&mut target, spared, &mut numbers);
    let began = processor_time();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let snapshot = look(&mut Inspector::open(target)?, &options(), 1)?;
        Ok::<_, aiospy::Error>(serde_json::to_string(&snapshot).unwrap().len())
    }));
    // Of the processor, so that a busy machine changes no verdict.
    let took = processor_time().saturating_sub(began);
    totals.images += 1;
    totals.slowest = totals.slowest.max(took);
    let mut fail = |what: &str| {
        let file = saved.keep();
        let again = format!("--saved {} --image {seed}", file.display());
        totals.failures.push(format!("{}: {what}: {again}", saved.name));
    };
    match result {
        Err(_) => fail("panic"),
        Ok(_) if took > SOON => fail(&format!("took {took:?}")),
        Ok(Err(_)) => totals.refused += 1,
        Ok(Ok(_)) => {}
    }
}

/// Changes words of an image, and takes pages away; what is `spared` stays as it is.
fn damage(target: &mut SavedTarget, spared: &[Range<u64>], numbers: &mut Numbers) {
    let is_spared = |start: u64, len: usize| {
        let end = start + len as u64;
        spared.iter().any(|range| range.start < end && start < range.end)
    };
    let parts = target.image.parts_mut().map(|(at, bytes)| (at.0, bytes));
    let mut pages: Vec<(u64, &mut Vec<u8>)> = parts.filter(|(_, it)| it.len() >= 8).collect();
    let anywhere = |numbers: &mut Numbers| u64::try_from(numbers.below(512) * 8).unwrap();
    // From a little, which is followed far, to a lot.
    for _ in 0..1_usize << numbers.below(MAX_WORDS_LOG2 + 1) {
        let page = numbers.below(pages.len());
        let at = numbers.below(pages[page].1.len() / 8) * 8;
        let old = word(pages[page].1, at);
        let start = pages[page].0;
        if is_spared(start + at as u64, 8) {
            continue;
        }
        let new = match numbers.below(12) {
            0 => pages[numbers.below(pages.len())].0 + anywhere(numbers),
            1 => start + u64::try_from(at).unwrap(),
            2 => start + anywhere(numbers),
            3 => old ^ 1 << numbers.below(64),
            4 => old.wrapping_add(numbers.one_of(&[8, 16, 1, u64::MAX - 7])),
            5 => u64::MAX >> numbers.below(64),
            6 => 1 << numbers.below(64),
            7 => 0,
            8 => numbers.next(),
            9 => 1 << 63,
            10 => {
                let other = numbers.below(pages.len());
                let bytes = &*pages[other].1;
                word(bytes, numbers.below(bytes.len() / 8) * 8)
            }
            _ => numbers.one_of(&[f64::NAN, f64::INFINITY, -1e300, 1e300, 0.0]).to_bits(),
        };
        pages[page].1[at..at + 8].copy_from_slice(&new.to_le_bytes());
    }
    for _ in 0..numbers.below(4) {
        let page = numbers.below(pages.len());
        if is_spared(pages[page].0, pages[page].1.len()) {
            continue;
        }
        match numbers.below(3) {
            0 => pages[page].1.clear(),
            1 => {
                let len = pages[page].1.len();
                pages[page].1.truncate(numbers.below(len));
            }
            _ => pages[page].1.fill(numbers.next().to_le_bytes()[0]),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}

/// The most memory that this process has had, in MiB.
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
