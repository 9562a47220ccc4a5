//! What a snapshot costs an attached tool; prints one JSON object.
//!
//! ```text
//! cargo bench --bench snapshot -- [VERSION] [TASKS] [DEPTH]   of tests/programs/many.py
//! … -- pid PID [RUNS]               of any process: RUNS snapshots after the first
//! … -- pid PID rate HZ SECONDS      of any process: at an even rate
//! ```
//!
//! `scripts/bench` sets it beside the budgets and what CPython's own reader needs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a measurement that cannot be made fails by a panic"
)]

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use aiospy::diagnose::diagnose;
use aiospy::snapshot::Depth;
use aiospy::timeline::Looks;
use aiospy::{Inspector, Options};
use serde_json::{Value, json};
use support::Program;

const RUNS: usize = 25;

fn main() {
    // cargo passes `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["pid", pid, "rate", hz, seconds] => {
            at_rate(pid.parse().unwrap(), hz.parse().unwrap(), seconds.parse().unwrap())
        }
        ["pid", pid] => back_to_back(pid.parse().unwrap(), RUNS),
        ["pid", pid, runs] => back_to_back(pid.parse().unwrap(), runs.parse().unwrap()),
        _ => {
            let argument = |i: usize, default| arguments.get(i).copied().unwrap_or(default);
            let python = support::python(argument(0, "3.15")).expect("run scripts/pythons");
            let program =
                Program::start(&python.path, "many.py", &[argument(1, "10000"), argument(2, "5")]);
            back_to_back(program.pid(), RUNS)
        }
    };
    println!("{result}");
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// One snapshot right after the other.
fn back_to_back(pid: i32, runs: usize) -> Value {
    let start = Instant::now();
    let mut inspector = Inspector::attach(pid).unwrap();
    let attach = start.elapsed();
    let mut plain = Options::default();
    plain.depth = Depth::Tasks;
    let start = Instant::now();
    let mut last = inspector.snapshot(&plain).unwrap();
    let first = start.elapsed();
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    let mut with_reasons = WithReasons::default();
    // In turns, so that both meet the same other work on the machine.
    for _ in 0..runs.max(1) {
        let (start, start_cpu) = (Instant::now(), own_cpu());
        let snapshot = inspector.snapshot(&plain).unwrap();
        times.push(start.elapsed());
        cpu.push(own_cpu().saturating_sub(start_cpu));
        last = snapshot;
        with_reasons.run(&mut inspector);
    }
    cpu.sort_unstable();
    times.sort_unstable();
    let frames: usize = last.tasks.iter().map(|task| task.frames.len()).sum();
    json!({
        "with_reasons": with_reasons.result(),
        "python": last.process.python,
        "tasks": last.tasks.len(),
        "frames": frames,
        "problems": last.problems.len(),
        "consistency": last.consistency,
        "attach_ms": ms(attach),
        "first_ms": ms(first),
        "min_ms": ms(times[0]),
        "median_ms": ms(times[times.len() / 2]),
        "max_ms": ms(times[times.len() - 1]),
        "cpu_ms": ms(cpu[cpu.len() / 2]),
        "read_calls": last.reads.calls,
        "read_bytes": last.reads.bytes,
        "own_peak_rss_mib": status_mib("VmHWM:"),
    })
}

/// Snapshots that also say why each task waits, and the conclusions from them.
#[derive(Default)]
struct WithReasons {
    times: Vec<Duration>,
    cpu: Vec<Duration>,
    diagnoses: Vec<Duration>,
    reads: aiospy::memory::ReadStats,
    findings: usize,
}

impl WithReasons {
    fn run(&mut self, inspector: &mut Inspector) {
        let (start, start_cpu) = (Instant::now(), own_cpu());
        let snapshot = inspector.snapshot(&Options::default()).unwrap();
        self.times.push(start.elapsed());
        self.cpu.push(own_cpu().saturating_sub(start_cpu));
        self.reads = snapshot.reads;
        let start = Instant::now();
        self.findings = diagnose(Looks::one(&snapshot)).findings.len();
        self.diagnoses.push(start.elapsed());
    }

    fn result(&mut self) -> Value {
        for times in [&mut self.times, &mut self.cpu, &mut self.diagnoses] {
            times.sort_unstable();
        }
        let median = |times: &[Duration]| ms(times[times.len() / 2]);
        json!({
            "min_ms": ms(self.times[0]),
            "median_ms": median(&self.times),
            "cpu_ms": median(&self.cpu),
            "read_calls": self.reads.calls,
            "read_bytes": self.reads.bytes,
            "diagnose_ms": median(&self.diagnoses),
            "findings": self.findings,
        })
    }
}

/// As the terminal UI will do.
fn at_rate(pid: i32, hz: f64, seconds: f64) -> Value {
    let mut inspector = Inspector::attach(pid).unwrap();
    let options = Options::default();
    let every = Duration::from_secs_f64(1.0 / hz);
    let start = Instant::now();
    let (mut taken, mut failed, mut missed) = (0, 0, 0);
    let mut times = Vec::new();
    let mut due = start;
    while start.elapsed().as_secs_f64() < seconds {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        match inspector.snapshot(&options) {
            Ok(snapshot) => taken += usize::from(!snapshot.tasks.is_empty()),
            Err(_) => failed += 1,
        }
        times.push(began.elapsed());
        due += every;
        while due < Instant::now() {
            due += every;
            missed += 1;
        }
    }
    times.sort_unstable();
    json!({
        "taken": taken,
        "failed": failed,
        "missed": missed,
        "median_ms": ms(times[times.len() / 2]),
        "max_ms": ms(times[times.len() - 1]),
        "own_cpu_percent": (own_cpu().as_secs_f64() / start.elapsed().as_secs_f64() * 1000.0).round() / 10.0,
    })
}

/// Processor time that this process has used: other work on the machine does not add to it, but
/// for what it drives out of the caches.
fn own_cpu() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

/// A field of this process's status.
fn status_mib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}
