//! The screen with all that is around it: keys, the sampler, files, the end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use aiospy::memory::{Address, TimeLimit};
use aiospy::snapshot::{Depth, Show, Snapshot};
use aiospy::{Inspector, Options};
use anyhow::Context as _;
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event as Input, KeyEventKind,
};
use crossterm::execute;
use jiff::{Timestamp, Zoned};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::DefaultTerminal;
use tempfile::NamedTempFile;

use super::app::{Effect, Event, Move};
use super::crew::Crew;
use super::feed::Feed;
use super::picker::{Candidate, Scanning};
use super::replay::Replay;
use super::sampling::{Failure, Message, Pace, Reading, Sampling};
use super::several::Several;
use super::state::App;
use super::view;
use super::view::theme::Theme;
use crate::commands::outcome::Outcome;
use crate::commands::report::hostname;
use crate::commands::targets;
use crate::commands::watch;
use crate::io::oom;
use crate::io::output::{Color, Destination, Output, say};
use crate::io::wanted;
use crate::report::markdown::{self, Dialect};
use crate::report::{json, text};

/// How often it is looked whether a signal has come.
const LOOK: Duration = Duration::from_millis(100);
/// How often what is shown gets older by itself.
const TICK: Duration = Duration::from_secs(1);
/// How long a program that was started may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// What is watched.
pub enum Target {
    /// A process.
    Process(i32),
    /// Several, one of which is shown at a time.
    Several(targets::Several),
    /// A program that is started.
    Command(Vec<OsString>),
    /// One that is yet to be chosen.
    Chosen,
    /// What was recorded of one.
    Recording(PathBuf),
}

/// What comes from the other threads.
enum Coming {
    Input(Input),
    Sampled(i32, Message),
    Found(Vec<Candidate>),
    Event(Box<Event>),
}

/// A screen that is shown until it is over.
pub struct Session {
    theme: Theme,
    rate: f64,
    has_mouse: bool,
    sender: Sender<Coming>,
    receiver: Receiver<Coming>,
    crew: Crew,
    scanning: Option<Scanning>,
    replay: Option<Replay>,
    /// The time of day and that of the recording when it began to play.
    playing: Option<(Instant, Timestamp)>,
    /// The process whose reading is recorded.
    recorded: i32,
    /// How long reading a target once may take.
    timeout: Duration,
    /// How much of requests is shown, if that was asked for: else all of it, and in what is written
    /// their routes.
    pub show: Option<Show>,
}

impl Session {
    /// One that looks so and reads a target so often.
    pub fn new(theme: Theme, rate: f64, has_mouse: bool, timeout: Duration) -> Self {
        let (sender, receiver) = channel();
        Self {
            theme,
            rate,
            has_mouse,
            sender,
            receiver,
            crew: Crew::default(),
            scanning: None,
            replay: None,
            playing: None,
            recorded: 0,
            timeout,
            show: None,
        }
    }

    /// Shows the screen until one quits.
    ///
    /// # Errors
    /// When a program cannot be started, or the terminal not be used.
    pub fn run(mut self, target: &Target) -> anyhow::Result<Outcome> {
        let stop = watch::on_signals()?;
        let mut program = match target {
            Target::Command(command) => Some(Program::start(command)?),
            _ => None,
        };
        match (target, &program) {
            (Target::Process(pid), _) => self.sample(*pid, false),
            (Target::Several(several), _) => {
                self.crew = Crew::of_several(several.clone(), self.rate);
            }
            (Target::Recording(path), _) => self.replay = Some(Replay::open(path)?),
            (_, Some(program)) => self.sample(program.pid, true),
            _ => {
                let sender = self.sender.clone();
                self.scanning = Some(Scanning::start(sender, Coming::Found));
            }
        }
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&stop))?;
        // Restores the terminal by itself when something panics.
        let mut terminal = ratatui::try_init().context("can't use the terminal")?;
        restore_on_panic();
        if self.has_mouse {
            let _ = execute!(io::stdout(), EnableMouseCapture);
        }
        self.read_keys();
        let shown = self.show(&mut terminal, target, &stop);
        if self.has_mouse {
            let _ = execute!(io::stdout(), DisableMouseCapture);
        }
        ratatui::restore();
        if let Some(program) = &mut program {
            program.end();
        }
        shown?;
        Ok(Outcome::Done)
    }

    fn sample(&mut self, pid: i32, waits_for_python: bool) {
        let sampling = self.sampling(pid, Pace::full(self.rate), waits_for_python);
        self.crew = Crew::of_one(pid, self.rate, sampling);
    }

    fn sampling(&self, pid: i32, pace: Pace, waits_for_python: bool) -> Sampling {
        let show = self.show.unwrap_or(Show::All);
        let reading = Reading { pid, waits_for_python, timeout: self.timeout, show };
        let wrap = move |message| Coming::Sampled(pid, message);
        Sampling::start(reading, pace, self.sender.clone(), wrap)
    }

    fn read_keys(&self) {
        let sender = self.sender.clone();
        // It ends with the process: there is no way to wake it.
        std::thread::spawn(move || {
            while let Ok(input) = event::read() {
                if sender.send(Coming::Input(input)).is_err() {
                    break;
                }
            }
        });
    }

    fn show(
        &mut self,
        terminal: &mut DefaultTerminal,
        target: &Target,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let size = terminal.size()?;
        let picks = matches!(target, Target::Chosen);
        let mut app = App::new((size.width, size.height), &Zoned::now(), self.rate, picks);
        if let Target::Several(several) = target {
            app.several = Some(Several::below(several.root()));
        }
        if let Some(replay) = &mut self.replay {
            let first = replay.feed().map_err(anyhow::Error::msg)?;
            app.update(Event::Feed(first));
        }
        terminal.draw(|frame| view::draw(&app, self.theme, frame))?;
        #[cfg(debug_assertions)]
        panic_if_asked();
        let mut next_tick = Instant::now() + TICK;
        while !stop.load(Ordering::Relaxed) {
            let wait = LOOK.min(next_tick.saturating_duration_since(Instant::now()));
            let mut effects = Vec::new();
            match self.receiver.recv_timeout(wait) {
                Ok(coming) => {
                    effects.push(self.take(coming, &mut app));
                    // All that is there already is drawn at once.
                    while let Ok(coming) = self.receiver.try_recv() {
                        effects.push(self.take(coming, &mut app));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                effects.push(app.update(Event::Tick(Timestamp::now())));
            }
            effects.extend(self.play(&mut app));
            let mut crew = std::mem::take(&mut self.crew);
            crew.look(|pid, pace| self.sampling(pid, pace, false));
            self.crew = crew;
            let mut is_changed = false;
            for effect in effects {
                is_changed |= effect != Effect::Nothing;
                if effect == Effect::Quit {
                    return Ok(());
                }
                self.carry_out(effect, &mut app);
            }
            if let Some(several) = &app.several {
                self.crew.show(several.chosen, self.rate);
            }
            if is_changed {
                terminal.draw(|frame| view::draw(&app, self.theme, frame))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, coming: Coming, app: &mut App) -> Effect {
        let event = match coming {
            Coming::Input(Input::Key(key)) if key.kind != KeyEventKind::Release => Event::Key(key),
            Coming::Input(Input::Mouse(mouse)) => Event::Mouse(mouse),
            Coming::Input(Input::Resize(width, height)) => Event::Resize(width, height),
            Coming::Input(_) => return Effect::Nothing,
            Coming::Sampled(pid, Message::Feed) => {
                let Some(feed) = self.crew.take(pid) else { return Effect::Nothing };
                if feed.is_ended {
                    self.crew.end(pid);
                }
                Event::Feed(feed)
            }
            Coming::Sampled(_, Message::Waiting(cause)) => Event::Waiting(cause),
            Coming::Sampled(pid, Message::Failed(Failure { words, error })) => {
                match (self.crew.fail(pid, error.as_ref()), error) {
                    (Some(process), Some(error)) => Event::Unread(Box::new(process), error),
                    _ => Event::Failed(words),
                }
            }
            Coming::Sampled(_, Message::Recorded(words)) => Event::Recorded(false, words),
            Coming::Found(candidates) => Event::Candidates(candidates),
            Coming::Event(event) => *event,
        };
        app.update(event)
    }

    /// How much of requests is in what is written.
    fn stored(&self) -> Show {
        self.show.unwrap_or_default()
    }

    fn carry_out(&mut self, effect: Effect, app: &mut App) {
        match effect {
            Effect::Nothing | Effect::Draw | Effect::Quit => {}
            Effect::Rate(rate) => {
                self.rate = rate;
                self.crew.show(self.crew.shown(), rate);
            }
            Effect::Attach(pid) => match attach_within(pid, self.timeout) {
                Ok(_) => {
                    self.scanning = None;
                    self.sample(pid, false);
                    app.attached();
                }
                Err(error) => {
                    app.update(Event::Notice(crate::commands::remedy::of(&error).cause));
                }
            },
            Effect::Export => {
                let words = app.target().map(|watched| export(&watched.feed, self.stored()));
                if let Some(words) = words {
                    app.update(Event::Notice(words));
                }
            }
            Effect::Report => {
                let words = app.target().map(|watched| report(&watched.feed, self.stored()));
                if let Some(words) = words {
                    app.update(Event::Notice(words));
                }
            }
            Effect::Record(is_on) => {
                let Some(pid) = self.crew.shown() else { return };
                if !is_on {
                    return self.crew.record(self.recorded, None);
                }
                let now = Zoned::now().strftime("%Y%m%d-%H%M%S");
                let file = PathBuf::from(format!("aiospy-{pid}-{now}.aiospy"));
                let words = format!("recording to {}; r ends it", file.display());
                app.update(Event::Recorded(true, words));
                self.crew.record(pid, Some(file));
                self.recorded = pid;
            }
            Effect::Copy(text) => {
                let done = execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text));
                app.update(Event::Notice(match done {
                    Ok(()) => "copied, if the terminal allows that".to_owned(),
                    Err(error) => format!("not copied: {error}"),
                }));
            }
            Effect::Locals(task) => self.read_locals(task),
            Effect::Move(to) => {
                self.playing = None;
                let Some(replay) = &mut self.replay else { return };
                let event = match to {
                    Move::Step(by) => replay.step(by),
                    Move::Jump { is_back } => replay.jump(is_back),
                };
                app.update(event.map_or_else(Event::Notice, Event::Feed));
            }
            Effect::Play(is_on) => {
                let now = self.replay.as_ref().filter(|_| is_on).map(Replay::now);
                self.playing = now.map(|now| (Instant::now(), now));
            }
        }
    }

    /// What a recording that plays shows now.
    fn play(&mut self, app: &mut App) -> Option<Effect> {
        let ((since, from), replay) = self.playing.zip(self.replay.as_mut())?;
        let moment = from.checked_add(since.elapsed()).ok()?;
        let event = replay.seek(moment).map_or_else(Event::Notice, Event::Feed);
        let effect = app.update(event);
        if replay.is_at_end() {
            self.playing = None;
            app.update(Event::Ended);
        }
        Some(effect)
    }

    /// Reads the local variables of a task beside the sampler: it takes a look of its own.
    fn read_locals(&self, id: Address) {
        let Some(pid) = self.crew.shown() else { return };
        let (sender, timeout) = (self.sender.clone(), self.timeout);
        std::thread::spawn(move || {
            let mut options = wanted::complete(Options::default());
            options.locals = aiospy::Locals::WithoutSecrets;
            options.depth = Depth::Tasks;
            let frames = attach_within(pid, timeout)
                .and_then(|mut inspector| inspector.snapshot(&options))
                .map_err(|error| crate::commands::remedy::of(&error).cause)
                .and_then(|snapshot| {
                    let task = snapshot.tasks.into_iter().find(|task| task.id == id);
                    task.map(|task| task.frames).ok_or_else(|| "the task has ended".to_owned())
                });
            // Nobody waits for it any more if it is over.
            let _ = sender.send(Coming::Event(Box::new(Event::Locals(id, frames))));
        });
    }
}

/// Attaches to a process, to read it for so long at most.
fn attach_within(pid: i32, timeout: Duration) -> aiospy::Result<Inspector> {
    let limit = TimeLimit::default();
    limit.begin(timeout);
    Inspector::attach_within(pid, &limit)
}

/// Also gives the mouse back when this thread panics. Other threads tell what happened to them, where
/// they don't end the program: while this one goes on, the screen is its own.
fn restore_on_panic() {
    let restore = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_main = std::thread::current().name() == Some("main");
        if is_main || cfg!(panic = "abort") {
            let _ = execute!(io::stdout(), DisableMouseCapture);
            restore(panic);
        }
    }));
}

/// For the test that the terminal is restored then.
#[cfg(debug_assertions)]
fn panic_if_asked() {
    assert!(std::env::var_os("AIOSPY_PANIC").is_none(), "asked to panic");
}

/// Writes the snapshot that is shown to a file; says which, or why not.
fn export(feed: &Feed, show: Show) -> String {
    let snapshot = Snapshot::clone(&feed.snapshot).showing(show);
    write(feed, "json", |to| json::dump(&snapshot, to))
}

/// Writes a report of it, as `aiospy report` does.
fn report(feed: &Feed, show: Show) -> String {
    let snapshot = Snapshot::clone(&feed.snapshot).showing(show);
    let files = feed.files.as_deref().map(|files| files as &dyn text::Files);
    let lines = text::Lines::of_snapshot(files, &snapshot);
    let host = (feed.place.is_none() && !feed.is_ended).then(hostname);
    let report = markdown::Report::of(&snapshot, &lines, host, Dialect::Markdown);
    write(feed, "md", |to| Ok(to.writer().write_all(report.text().as_bytes())?))
}

fn write(
    feed: &Feed,
    extension: &str,
    content: impl FnOnce(&mut Destination) -> anyhow::Result<()>,
) -> String {
    let snapshot = &feed.snapshot;
    let time = snapshot.taken_at.strftime("%Y%m%dT%H%M%SZ");
    let name = format!("aiospy-{}-{time}.{extension}", snapshot.process.pid);
    let output = Output::new(Some(name.clone().into()), Color::Never);
    let written = Destination::open(&output).and_then(|mut to| {
        content(&mut to)?;
        Ok(to.finish()?)
    });
    match written {
        Ok(()) => format!("written to {name}"),
        Err(error) => format!("not written: {error:#}"),
    }
}

/// A program that was started to be watched. The screen is ours: what it writes goes to a file.
struct Program {
    child: Child,
    pid: i32,
    log: Option<NamedTempFile>,
}

impl Program {
    fn start(command: &[OsString]) -> anyhow::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            anyhow::bail!("no command to run");
        };
        let log = tempfile::Builder::new().prefix("aiospy-top-").suffix(".log").tempfile();
        let log = log.context("can't make a file for the program's output")?;
        let file = || -> io::Result<File> { log.as_file().try_clone() };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(file()?).stderr(file()?);
        // Keys are for the screen, not for it.
        let child = oom::spawn(command.process_group(0))
            .with_context(|| format!("can't start {}", program.display()))?;
        let pid = i32::try_from(child.id()).context("the program has an odd process id")?;
        Ok(Self { child, pid, log: Some(log) })
    }

    /// Asks it to end, and ends it when it does not; says where its output is.
    fn end(&mut self) {
        let is_over = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if !is_over(&mut self.child) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGTERM);
        }
        let until = Instant::now() + GRACE;
        while !is_over(&mut self.child) && Instant::now() < until {
            std::thread::sleep(LOOK / 10);
        }
        if !is_over(&mut self.child) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let Some(log) = self.log.take() else { return };
        let is_empty = log.as_file().metadata().map_or(true, |facts| facts.len() == 0);
        if !is_empty && let Ok((_, path)) = log.keep() {
            say(format_args!("note: what the program wrote: {}", path.display()));
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
