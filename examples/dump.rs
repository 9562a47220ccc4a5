//! Prints what each task of a process waits for: `cargo run --example dump PID`.

use aiospy::{Inspector, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: dump PID")?.parse()?;
    let mut inspector = Inspector::attach(pid)?;
    let snapshot = inspector.snapshot(&Options::default())?;
    for task in &snapshot.tasks {
        let name = task.name.as_deref().unwrap_or("a task");
        let place = task.place().map(|at| format!("  {} {}", at.function, at.path()));
        let wait = task.waiting_on.as_ref().map(|wait| format!("  {}", wait.description));
        println!("{name}{}{}", place.unwrap_or_default(), wait.unwrap_or_default());
    }
    for problem in &snapshot.problems {
        eprintln!("{}: {}: {}", problem.place, problem.wanted, problem.cause);
    }
    Ok(())
}
