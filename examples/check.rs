//! Fails if a process has a finding that is worse than a note: `cargo run --example check PID`.

use std::process::ExitCode;

use aiospy::snapshot::Severity;
use aiospy::watch::look;
use aiospy::{Inspector, Options};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: check PID")?.parse()?;
    let mut inspector = Inspector::attach(pid)?;
    let snapshot = look(&mut inspector, &Options::default(), 2)?;
    let mut is_well = true;
    for finding in snapshot.findings.iter().flatten() {
        println!("{:?} {}: {}", finding.severity, finding.code, finding.title);
        is_well &= finding.severity == Severity::Info;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
