//! The thread that reads the target, and how it hands over what it has: the latest wins.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aiospy::Error;
use aiospy::process::Source;
use aiospy::snapshot::{Show, Snapshot};
use aiospy::watch::monitor::{Event, Monitor, Settings, Tracked};
use aiospy::watch::sampler::{Ended, Sample};
use aiospy::watch::{News, Watcher};
use jiff::Timestamp;

use super::feed::{Blocked, Cancelled, Feed, Histories, OpenFinding, SharedFiles};
use super::finished::Finishing;
use super::recording::Recorder;
use crate::commands::crew;
use crate::commands::patience::Patience;
use crate::commands::reading::limited;
use crate::commands::remedy;

/// Light samples a second: enough to see what blocks a loop for longer than 100 ms, to 5 ms.
const GLANCES: f64 = 200.0;
/// The time between two whole snapshots of a process that is not looked at.
const BETWEEN_OTHERS: Duration = Duration::from_secs(1);
/// How long a reading that is under way is waited for at the end, and how often it is looked.
const LAST_READING: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(10);
/// How often it is told how the loops do.
const INTERVAL: Duration = Duration::from_secs(2);

/// What the thread tells beside feeds.
pub enum Message {
    /// A feed is there.
    Feed,
    /// The target cannot be read yet.
    Waiting(String),
    /// It cannot be read, or not any more.
    Failed(Failure),
    /// A recording is over, or went wrong, and what is to be said of that.
    Recorded(String),
}

/// Why a target is not read.
pub struct Failure {
    /// In words.
    pub words: String,
    /// As the reader says it; nothing for what the reader has not said.
    pub error: Option<Error>,
}

/// How often a target is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Whole snapshots a second.
    pub rate: f64,
    /// Light samples a second.
    glances: f64,
}

impl Pace {
    /// That of a target that is looked at.
    pub fn full(rate: f64) -> Self {
        Self { rate, glances: GLANCES.max(rate) }
    }

    /// That of one of so many others.
    pub fn of_others(count: usize) -> Self {
        let every = crew::stretch(BETWEEN_OTHERS, count);
        let rate = 1.0 / every.as_secs_f64();
        Self { rate, glances: rate }
    }
}

/// Where the latest feed lies until it is fetched.
#[derive(Default)]
pub struct Slot(Mutex<Option<Arc<Feed>>>);

impl Slot {
    /// Takes the latest feed out.
    pub fn take(&self) -> Option<Arc<Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts one in; whether the one before had been fetched.
    fn put(&self, feed: Arc<Feed>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(feed).is_none()
    }
}

/// What is read how.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The process.
    pub pid: i32,
    /// Whether one whose Python is not there yet is waited for.
    pub waits_for_python: bool,
    /// How long reading it once may take.
    pub timeout: Duration,
    /// How much of its requests is shown.
    pub show: Show,
}

/// A target that is sampled.
pub struct Sampling {
    /// The latest feed.
    pub slot: Arc<Slot>,
    control: Arc<Control>,
    patience: Patience,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked to do.
struct Control {
    is_over: AtomicBool,
    pace: Mutex<Pace>,
    /// The file that is to be recorded to.
    recording: Mutex<Option<PathBuf>>,
}

impl Sampling {
    /// Samples a process at a pace; `tell` is woken when there is something new.
    pub fn start<M: Send + 'static>(
        reading: Reading,
        pace: Pace,
        tell: Sender<M>,
        wrap: impl Fn(Message) -> M + Send + 'static,
    ) -> Self {
        let slot = Arc::<Slot>::default();
        let control = Arc::new(Control {
            is_over: AtomicBool::new(false),
            pace: Mutex::new(pace),
            recording: Mutex::default(),
        });
        let shared = (Arc::clone(&slot), Arc::clone(&control));
        let patience = Patience::new(reading.timeout);
        let within = patience.clone();
        let thread = std::thread::Builder::new().name("sampler".to_owned());
        let thread = thread.spawn(move || {
            let (slot, control) = shared;
            // Nobody listens any more: it is over.
            let tell = |message| tell.send(wrap(message)).is_ok();
            let work = || run(reading, &within, &slot, &control, &tell);
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                let words = "a mistake of aiospy has ended the reading".to_owned();
                tell(Message::Failed(Failure { words, error: None }));
            }
        });
        Self { slot, control, patience, thread: thread.ok() }
    }

    /// From now on at this pace.
    pub fn set_pace(&self, pace: Pace) {
        *self.control.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
    }

    /// From now on what is read is recorded to a file, or not.
    pub fn record(&self, to: Option<PathBuf>) {
        *self.control.recording.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.control.is_over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + LAST_READING;
        // One that is blocked in the kernel is left behind: it ends with the process.
        while self.patience.limit.length().is_some() && !thread.is_finished() {
            if Instant::now() > until {
                return;
            }
            std::thread::sleep(STEP);
        }
        let _ = thread.join();
    }
}

impl Control {
    fn recording(&self) -> Option<PathBuf> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pace(&self) -> Pace {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(
    reading: Reading,
    patience: &Patience,
    slot: &Slot,
    control: &Control,
    tell: &dyn Fn(Message) -> bool,
) {
    let mut builder = Builder::new();
    sample_on(reading, patience, slot, control, tell, &mut builder);
    if let Some(message) = builder.record(None) {
        tell(message);
    }
}

fn sample_on(
    reading: Reading,
    patience: &Patience,
    slot: &Slot,
    control: &Control,
    tell: &dyn Fn(Message) -> bool,
    builder: &mut Builder,
) {
    let pid = reading.pid;
    let plan = |pace: Pace| {
        let whole_every = Duration::try_from_secs_f64(1.0 / pace.rate).unwrap_or_default();
        let mut plan = patience.plan(pace.glances, whole_every);
        plan.waits_for_python = reading.waits_for_python;
        plan.options.show = reading.show;
        plan
    };
    let mut settings = Settings::default();
    settings.interval = INTERVAL;
    let mut pace = control.pace();
    let mut watcher = Watcher::new(plan(pace), settings);
    loop {
        builder.rate = pace.rate;
        // A plan holds for one session: for another pace a new one is begun.
        let is_asked = || control.is_over.load(Ordering::Relaxed) || control.pace() != pace;
        let ended = watcher.run(pid, &is_asked, &mut |news| {
            if let Some(message) = builder.record(control.recording()) {
                tell(message);
            }
            if let Sample::Limited(rate) = news.sample {
                tell(Message::Recorded(limited(*rate)));
            }
            let is_told = match builder.take(news) {
                Some(Made::Feed(feed)) => !slot.put(feed) || tell(Message::Feed),
                Some(Made::Waiting(cause)) => tell(Message::Waiting(cause)),
                None => true,
            };
            Ok(if is_told { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        });
        match ended {
            Ok(Ended::Asked) if control.is_over.load(Ordering::Relaxed) => return,
            Ok(Ended::Asked) => {
                pace = control.pace();
                watcher.plan = plan(pace);
            }
            // For another pace it is attached to anew, and may be gone by then.
            Ok(Ended::Gone) | Err(Error::TargetGone { .. } | Error::NoSuchProcess { .. }) => {
                if let Some(feed) = builder.end(watcher.monitor()) {
                    slot.put(feed);
                    tell(Message::Feed);
                } else {
                    let words = format!("process {pid} ended before it could be read");
                    let error = Some(Error::TargetGone { pid });
                    tell(Message::Failed(Failure { words, error }));
                }
                return;
            }
            Err(error) => {
                let words = remedy::of(&error).cause;
                tell(Message::Failed(Failure { words, error: Some(error) }));
                return;
            }
        }
    }
}

/// What comes of a sample.
pub enum Made {
    /// A feed.
    Feed(Arc<Feed>),
    /// That nothing could be read so far, and why.
    Waiting(String),
}

/// Makes feeds of samples.
pub struct Builder {
    histories: Histories,
    finishing: Finishing,
    blocked: Blocked,
    cancelled: Option<Arc<[Cancelled]>>,
    files: Option<SharedFiles>,
    last: Option<Arc<Snapshot>>,
    unreadable: Option<Arc<str>>,
    recorder: Option<Recorder>,
    /// What went wrong with a recording, to be told.
    broken: Option<String>,
    /// The file of a recording that went wrong, which is not begun again.
    given_up: Option<PathBuf>,
    /// Whole snapshots a second.
    pub rate: f64,
    samples: u64,
    missed: u64,
}

impl Builder {
    /// One that has seen nothing yet.
    pub fn new() -> Self {
        Self {
            histories: Histories::default(),
            finishing: Finishing::default(),
            blocked: Blocked::default(),
            cancelled: None,
            files: None,
            last: None,
            unreadable: None,
            recorder: None,
            broken: None,
            given_up: None,
            rate: 0.0,
            samples: 0,
            missed: 0,
        }
    }

    /// Begins a recording, or ends the one that goes on; gives what is to be said of that.
    fn record(&mut self, to: Option<PathBuf>) -> Option<Message> {
        if let Some(words) = self.broken.take() {
            return Some(Message::Recorded(words));
        }
        let present = self.recorder.as_ref().map(Recorder::path);
        match (present, to) {
            (None, Some(path)) if self.given_up.as_ref() != Some(&path) => {
                let words = match Recorder::start(&path) {
                    Ok(recorder) => {
                        self.recorder = Some(recorder);
                        return None;
                    }
                    Err(words) => words,
                };
                self.given_up = Some(path);
                Some(Message::Recorded(words))
            }
            (Some(_), None) => {
                let words = match self.recorder.take()?.finish() {
                    Ok(words) | Err(words) => words,
                };
                Some(Message::Recorded(words))
            }
            _ => None,
        }
    }

    /// Takes a sample in; makes a feed of a whole one.
    pub fn take(&mut self, news: News<'_>) -> Option<Made> {
        let News { sample, events, monitor } = news;
        let mut is_whole = false;
        match sample {
            Sample::Attached(process) => {
                let files = Source::of(process).map(|source| Arc::new(source) as SharedFiles);
                self.files = files.or(self.files.take());
            }
            // Said by the thread itself.
            Sample::Limited(_) => return None,
            Sample::Missed(count) => self.missed += count,
            Sample::Unreadable(error) => {
                self.unreadable = Some(remedy::of(error).cause.into());
                is_whole = true;
            }
            Sample::Glance(glance) => {
                self.samples += 1;
                self.histories.glance(glance);
            }
            Sample::Whole(snapshot) => {
                self.samples += 1;
                self.unreadable = None;
                self.histories.whole(snapshot);
                self.finishing.take(snapshot, monitor.lives());
                is_whole = true;
            }
        }
        for event in &events {
            match event {
                Event::Blocked(stretch) => self.blocked.note(Arc::new(stretch.clone())),
                Event::Cancelled(_) => self.cancelled = None,
                Event::Statistics(statistics) => {
                    for known in &statistics.loops {
                        self.histories.timing(known.id, known.timing.clone());
                    }
                }
                _ => {}
            }
        }
        let noted = self.recorder.as_mut().map(|recorder| recorder.take(sample, monitor, events));
        if let Some(Err(words)) = noted {
            self.given_up = self.recorder.take().map(|recorder| recorder.path().to_owned());
            self.broken = Some(words);
        }
        if !is_whole {
            return None;
        }
        self.last = monitor.shared().or(self.last.take());
        match (self.feed(monitor, false), &self.unreadable) {
            (Some(feed), _) => Some(Made::Feed(feed)),
            (None, Some(cause)) => Some(Made::Waiting(cause.to_string())),
            (None, None) => None,
        }
    }

    /// The last feed of a target that is gone.
    pub fn end(&mut self, monitor: &Monitor) -> Option<Arc<Feed>> {
        self.feed(monitor, true)
    }

    fn feed(&mut self, monitor: &Monitor, is_ended: bool) -> Option<Arc<Feed>> {
        let snapshot = Arc::clone(self.last.as_ref()?);
        let open = monitor.open().iter();
        let known = |it: &Tracked| OpenFinding::new(it.number, it.opened_at, it.finding.clone());
        let open = open.map(known).collect();
        let of = monitor.cancellations();
        let cancelled = self.cancelled.get_or_insert_with(|| Cancelled::all(of));
        let lives = monitor.lives();
        Some(Arc::new(Feed {
            at: Timestamp::now(),
            findings: OpenFinding::ordered(open),
            blocked: self.blocked.shared(),
            ongoing: if is_ended {
                Arc::default()
            } else {
                monitor.blocking().into_iter().map(Arc::new).collect()
            },
            places: monitor.places().into(),
            cancelled: Arc::clone(cancelled),
            lives: snapshot.tasks.iter().map(|task| lives.of(task)).collect(),
            loops: self.histories.of(&snapshot),
            finished: Some(Arc::new(self.finishing.figures())),
            files: self.files.clone(),
            rate: self.rate,
            samples: self.samples,
            missed: self.missed,
            unreadable: self.unreadable.clone(),
            is_ended,
            place: None,
            snapshot,
        }))
    }
}
