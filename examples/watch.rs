//! Prints findings as they come and go, for ten seconds: `cargo run --example watch PID`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use aiospy::watch::monitor::{Event, Monitor, Settings};
use aiospy::watch::sampler::{Plan, sample};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: watch PID")?.parse()?;
    // A hundred light samples a second, and everything twice a second.
    let plan = Plan::new(100.0, Duration::from_millis(500));
    let mut monitor = Monitor::new(Settings::default());
    let until = Instant::now() + Duration::from_secs(10);
    let is_over = || Instant::now() >= until;
    sample(pid, &plan, &is_over, &mut |sample| {
        monitor.take(sample, &mut |event| {
            match event {
                Event::Opened(it) => println!("{} {}", it.finding.code, it.finding.title),
                Event::Closed(it) => println!("over: {}", it.finding.title),
                _ => {}
            }
            ControlFlow::Continue(())
        })
    })?;
    Ok(())
}
