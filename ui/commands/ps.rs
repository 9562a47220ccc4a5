//! `aiospy ps`: the Python processes here, what their loops do, and what is wrong in each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aiospy::process::pythons;
use aiospy::watch::several::{How, Looked, look_at};
use clap::Args;
use regex_lite::Regex;

use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::targets::{is_named, pattern};
use crate::commands::watch::on_signals;
use crate::io::descriptors;
use crate::io::output::{Destination, Output};
use crate::io::wanted;
use crate::report::json;
use crate::report::text::processes;

/// How long reading one process may take, unless less is asked for: nobody waits longer for a list.
const WITHIN: Duration = Duration::from_secs(5);
/// Samples of each that conclusions rest on.
const LOOKS: u8 = 2;
/// How often the list is made anew.
const EVERY: Duration = Duration::from_secs(1);
/// Reading takes no more than one part in so many of the time.
const SHARE: u32 = 4;
/// How often it is looked whether it is over.
const STEP: Duration = Duration::from_millis(50);
/// To the beginning of the screen, and all of it empty.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Options of `ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// Only processes whose command line matches the regular expression PATTERN
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    name: Option<Regex>,
    /// Refresh the list every second, until Ctrl-C
    #[arg(short = 'w', long = "watch")]
    is_watch: bool,
    /// Print JSON: one object per process; with --watch one line per list
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub fn run(options: &Ps, patience: &Patience) -> anyhow::Result<Outcome> {
    let stop = if options.is_watch { on_signals()? } else { Arc::default() };
    let mut to = Destination::open(&options.output)?;
    descriptors::raise_limit();
    loop {
        let began = Instant::now();
        let found = look(options, patience, &stop);
        write(&found, options, &mut to)?;
        if !options.is_watch {
            break;
        }
        let taken = began.elapsed();
        let next = began + EVERY.max(taken * SHARE);
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(STEP);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    to.finish()?;
    Ok(Outcome::Done)
}

fn look(options: &Ps, patience: &Patience, stop: &Arc<AtomicBool>) -> Vec<Looked> {
    let all = pythons().into_iter().filter(|it| is_named(it, options.name.as_ref()));
    let pids: Vec<i32> = all.map(|it| it.pid).collect();
    let how = How {
        options: wanted::complete(aiospy::Options::default()),
        looks: LOOKS,
        wait: Duration::ZERO,
        timeout: patience.timeout.min(WITHIN),
        stop: Arc::clone(stop),
    };
    let mut found = look_at(&pids, &how);
    // What ended meanwhile is not here any more, and what only maps a Python is none.
    found.retain(|it| !it.is_no_python());
    found
}

fn write(found: &[Looked], options: &Ps, to: &mut Destination) -> anyhow::Result<()> {
    if options.is_json {
        json::ps(found, to)?;
    } else {
        if options.is_watch && to.is_terminal {
            to.writer().write_all(CLEAR)?;
        }
        processes::all(found, &mut to.page())?;
        if options.is_watch && !to.is_terminal {
            to.writer().write_all(b"\n")?;
        }
    }
    to.writer().flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    #[test]
    fn options_are_as_typed() {
        let ps = typed::<Ps>("--name gunicorn|uvicorn --watch --json").unwrap();
        assert!(ps.is_watch && ps.is_json && ps.name.unwrap().is_match("python uvicorn"));
        assert!(typed::<Ps>("").unwrap().name.is_none());
        for bad in ["1", "--name (", "--all"] {
            assert_eq!(typed::<Ps>(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
