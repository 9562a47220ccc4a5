//! Prints findings as they come and go, for ten seconds: `cargo run --example watch PID`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use aiospy::watch::Watcher;
use aiospy::watch::monitor::{Event, Settings};
use aiospy::watch::sampler::Plan;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: watch PID")?.parse()?;
    // A hundred light samples a second, and everything twice a second.
    let plan = Plan::new(100.0, Duration::from_millis(500));
    let mut watcher = Watcher::new(plan, Settings::default());
    let until = Instant::now() + Duration::from_secs(10);
    let is_over = || Instant::now() >= until;
    watcher.run::<aiospy::Error>(pid, &is_over, &mut |news| {
        for event in news.events {
            match event {
                Event::Opened(it) => println!("{} {}", it.finding.code, it.finding.title),
                Event::Closed(it) => println!("over: {}", it.finding.title),
                _ => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}
