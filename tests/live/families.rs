//! Which versions each family of trials runs on, and how many run at once.
//!
//! Versions differ in how a program has to be read; rules, commands and screens only see what was
//! read. So trials that prove the reading run on every version, and the rest on four: the oldest,
//! 3.12, the newest, and one that rotates with the date. `AIOSPY_VERSIONS` overrides these four with
//! `all`, or with a list like `3.9,3.14`. A filter that ends in `::3.9` runs on 3.9 on any day.

use std::collections::BTreeMap;
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use Family::{Reading, Rules};
use jiff::Timestamp;
use libtest_mimic::Arguments;

use super::support::VERSIONS;

/// What a family of trials is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// How a version is read: on all of them.
    Reading,
    /// A rule, a command or a screen: on some.
    Rules,
}

/// Trials that run at once on two cores, unless `--test-threads` says otherwise. They spend most of
/// their time waiting.
const PLACES: usize = 8;
/// Places taken by a trial that may run at any speed.
const ANY: usize = 1;
/// Places taken by a trial that compares times, so that at most one such runs per core. They run
/// after all others.
const TIMED: usize = 4;

/// Each name begins with one of these; the longest match counts.
const FAMILIES: &[(&str, Family, usize, &str)] = &[
    ("attach", Reading, ANY, "finding the interpreter of each version in odd surroundings"),
    ("blocked", Reading, ANY, "tasks, frames and system calls of a loop that is blocked"),
    (
        "blocking",
        Reading,
        ANY,
        "the standard library's calls that block, which move between versions",
    ),
    ("check", Rules, TIMED, "the verdict of `check`"),
    ("churn", Reading, TIMED, "tasks that come and go while they are read"),
    ("damaged", Reading, ANY, "objects of a target that has damaged itself"),
    ("demo", Rules, ANY, "the programs of `demo`, by what `dump` says of them"),
    ("eager", Reading, ANY, "tasks that begin at once"),
    ("enduring", Rules, TIMED, "sessions of `watch`, `run` and `stop` to their end"),
    ("enduring::atexit", Reading, TIMED, "what can be read of an interpreter that ends"),
    ("enduring::teardown", Reading, TIMED, "the same, later"),
    ("enduring::thread", Reading, TIMED, "the same, while threads still run"),
    ("errors", Reading, ANY, "interpreters that start, end or leave at the wrong moment"),
    ("executors", Reading, ANY, "pools and the calls in them"),
    ("explain", Rules, ANY, "the examples of `explain`, by what is printed"),
    ("findings", Rules, ANY, "each finding by a scenario of its own"),
    (
        "findings::busy_spin",
        Rules,
        TIMED,
        "a loop that has to have a processor to be caught spinning",
    ),
    ("findings::busy_task", Rules, TIMED, "the same, by a task that calls sleep(0)"),
    ("findings::loop_blocked_cpu", Rules, TIMED, "a callback that computes"),
    ("findings::ready_backlog", Rules, TIMED, "a loop that has more to do than a processor does"),
    ("forked", Reading, ANY, "what a child has of its parent's loops"),
    ("healthy", Rules, ANY, "no finding in healthy programs and the twins of the scenarios"),
    ("image", Reading, ANY, "saved images, whole and damaged"),
    ("inventory", Reading, ANY, "what a search of the heap lists"),
    ("late", Reading, TIMED, "timers that are late"),
    ("leftovers", Reading, ANY, "exceptions and generators that were left behind"),
    ("masters", Rules, ANY, "whom to ask instead of a process without a loop"),
    ("native", Reading, ANY, "stacks in C, and where Python's frames lie in them"),
    ("origin", Reading, ANY, "where a version's libraries lie"),
    ("pod", Rules, TIMED, "what the kernel says of control groups"),
    ("pstree", Reading, ANY, "the same as Python 3.14's own tool says"),
    ("record", Rules, TIMED, "recordings and what is made of them"),
    ("report", Rules, ANY, "the text of reports"),
    ("requested", Reading, ANY, "what tasks work for and ask of others"),
    ("run", Rules, TIMED, "the command `run`"),
    ("several", Rules, ANY, "several processes that are judged as one, and the list of all"),
    ("shutting", Reading, ANY, "the frames of each stage of a shutdown"),
    ("stop", Rules, TIMED, "the command `stop`"),
    ("subinterpreter", Reading, ANY, "interpreters beside the main one"),
    ("top", Rules, TIMED, "the screens of `top`"),
    ("top::picker_renamed", Reading, TIMED, "an executable of one version only"),
    ("truth", Reading, ANY, "everything, against what a program says of itself"),
    ("watch", Rules, TIMED, "events, and findings over time"),
    ("watch::light", Reading, TIMED, "how little is read of each version in a light sample"),
];

/// The family that a trial of this name belongs to, what it is about, and the places it takes.
fn family(name: &str) -> (&'static str, Family, usize) {
    let is_of = |family: &str| {
        name.strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '+']))
    };
    let all = FAMILIES.iter().filter(|(family, ..)| is_of(family));
    let found = all.max_by_key(|(family, ..)| family.len());
    let (family, about, places, _) =
        found.unwrap_or_else(|| panic!("{name} is of no family in tests/live/families.rs"));
    (family, *about, *places)
}

/// Whether there is time for hours of trials.
pub fn is_long() -> bool {
    std::env::var_os("AIOSPY_LONG").is_some()
}

/// What the command line says.
pub static ARGUMENTS: LazyLock<Arguments> = LazyLock::new(|| {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PLACES);
    arguments
});

/// Whether a trial runs on a version.
pub fn runs_on(name: &str, version: &str) -> bool {
    let filter = ARGUMENTS.filter.as_deref().unwrap_or_default();
    let is_named = filter.ends_with(&format!("::{version}"));
    family(name).1 == Reading || is_named || CHOSEN.contains(&version)
}

/// The versions that rules run on.
static CHOSEN: LazyLock<Vec<&str>> = LazyLock::new(|| match std::env::var("AIOSPY_VERSIONS") {
    Err(_) => chosen_at(Timestamp::now()),
    Ok(all) if all == "all" => VERSIONS.to_vec(),
    Ok(list) => {
        let known = |version| VERSIONS.into_iter().find(|known| *known == version);
        let unknown = |version| panic!("AIOSPY_VERSIONS: no version {version}");
        list.split(',').map(|version| known(version).unwrap_or_else(|| unknown(version))).collect()
    }
});

/// The four of a day, in UTC.
fn chosen_at(now: Timestamp) -> Vec<&'static str> {
    let fixed = [VERSIONS[0], "3.12", VERSIONS[VERSIONS.len() - 1]];
    let others: Vec<_> = VERSIONS.into_iter().filter(|version| !fixed.contains(version)).collect();
    let day = usize::try_from(now.as_second() / 86_400).unwrap();
    let rotating = others[day % others.len()];
    VERSIONS.into_iter().filter(|it| fixed.contains(it) || *it == rotating).collect()
}

/// Prints which versions these are, and how to repeat that.
pub fn announce() {
    let versions = CHOSEN.join(",");
    eprintln!("AIOSPY_VERSIONS={versions} (trials of how a version is read run on all)");
}

/// The state that running trials share.
struct Run {
    free: usize,
    /// How long the trials of each family took, and how many passed.
    spent: BTreeMap<&'static str, (Duration, usize)>,
}

static RUN: LazyLock<Mutex<Run>> =
    LazyLock::new(|| Mutex::new(Run { free: all_places(), spent: BTreeMap::new() }));
static CHANGED: Condvar = Condvar::new();

fn all_places() -> usize {
    ARGUMENTS.test_threads.unwrap_or(PLACES).max(1)
}

/// Places taken by a running trial.
struct Taken(usize);

impl Taken {
    /// Waits until they are free.
    fn wait(places: usize) -> Self {
        let run = RUN.lock().unwrap();
        let mut run = CHANGED.wait_while(run, |run| run.free < places).unwrap();
        run.free -= places;
        Self(places)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        RUN.lock().unwrap().free += self.0;
        CHANGED.notify_all();
    }
}

/// Whether a trial compares times.
pub fn is_timed(name: &str) -> bool {
    family(name).2 == TIMED
}

/// Runs a trial as soon as there is a place for it.
pub fn run(name: &str, trial: impl FnOnce()) {
    let (family, _, places) = family(name);
    let _taken = Taken::wait(places.min(all_places()));
    let start = Instant::now();
    trial();
    let mut run = RUN.lock().unwrap();
    let (time, count) = run.spent.entry(family).or_default();
    *time += start.elapsed();
    *count += 1;
}

/// Prints how long the trials that passed took, by family.
pub fn report() {
    let run = RUN.lock().unwrap();
    let mut families: Vec<_> = run.spent.iter().collect();
    families.sort_by_key(|(_, (time, _))| std::cmp::Reverse(*time));
    eprintln!("{:22}{:>8}{:>10}", "FAMILY", "TRIALS", "SECONDS");
    for (family, (time, count)) in families {
        eprintln!("{family:22}{count:8}{:10.1}", time.as_secs_f64());
    }
}
