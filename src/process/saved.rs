//! What the system said of a target, kept to be said again.
//!
//! A [`SystemRecorder`] notes each answer with the look in which it was given. A [`SavedSystem`]
//! gives them again in the same order; where more is asked than was answered, the last answer to
//! that question stands, for a moment does not go on.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Activity, ChildFacts, Described, MappedFile, Mapping, ReadBytes, Symbols, Syscalls, System,
    ThreadActivity, ThreadFacts, Wait, Wakers,
};
use crate::error::Result;
use crate::memory::{Address, ReadMemory};
use crate::snapshot::{Cgroup, PipeHolder, PipeWriter, Process};

/// What stands in place of a word of a command line that may be a secret.
const HIDDEN: &str = "‹hidden›";

/// The answers to one question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Answers<T> {
    all: Vec<T>,
    /// How many were given again.
    #[serde(skip)]
    given: Cell<usize>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { all: Vec::new(), given: Cell::new(0) }
    }
}

impl<T: Clone> Answers<T> {
    fn next(&self) -> Option<T> {
        let given = self.given.get();
        self.given.set(given.saturating_add(1));
        self.all.get(given).or(self.all.last()).cloned()
    }
}

/// The answers to one question about several things.
type By<K, T> = BTreeMap<K, Answers<Option<T>>>;

/// The answers to one question about several threads, descriptors or processes.
type ByNumber<T> = By<i32, T>;

/// What was said while one look was taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Look {
    wall_clock: Answers<Timestamp>,
    monotonic: Answers<Duration>,
    age: Answers<Option<Duration>>,
    cgroup: Answers<Cgroup>,
    threads: Answers<Vec<ThreadFacts>>,
    thread: ByNumber<ThreadFacts>,
    activity: Answers<Activity>,
    thread_activity: ByNumber<ThreadActivity>,
    sleeps: ByNumber<u64>,
    asleep_for: ByNumber<Duration>,
    syscalls: ByNumber<Wait>,
    descriptors: ByNumber<Described>,
    heard_from: By<Arc<str>, Duration>,
    children: ByNumber<ChildFacts>,
    writers: ByNumber<PipeWriter>,
    pipe_holders: ByNumber<Vec<PipeHolder>>,
    wakers: ByNumber<Wakers>,
    bytes_moved: Answers<Option<u64>>,
}

/// Where symbols and sections of a file lie, as far as they were asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Found {
    path: PathBuf,
    symbols: BTreeMap<String, Address>,
    sections: BTreeMap<String, (Address, Address)>,
    needed: Vec<String>,
}

/// What the system said of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Saved {
    process: Process,
    own_pid: i32,
    born_by: Option<f64>,
    forked_from: Option<i32>,
    maps: Vec<Mapping>,
    /// Where the main program begins.
    main: Option<Address>,
    /// By where the files begin.
    files: BTreeMap<u64, Found>,
    installed: BTreeMap<String, Vec<Arc<str>>>,
    sources: BTreeMap<String, Option<Arc<str>>>,
    /// What was said while attaching, then of each look.
    looks: Vec<Look>,
}

impl Saved {
    /// How many looks were taken.
    pub fn looks(&self) -> usize {
        self.looks.len().saturating_sub(1)
    }

    /// Hides what may be a secret: the words of the command line, but for the program and the names
    /// of options, and lines of source.
    pub fn hide(&mut self) {
        for word in self.process.cmdline.iter_mut().skip(1) {
            let kept = match word.split_once('=') {
                Some((name, _)) if name.starts_with("--") => name.len() + 1,
                None if word.starts_with("--") => word.len(),
                // `-p4711` is the option `-p` with its value.
                _ if word.starts_with('-') => word.chars().take(2).map(char::len_utf8).sum(),
                _ => 0,
            };
            if kept < word.len() {
                word.truncate(kept);
                word.push_str(HIDDEN);
            }
        }
        self.sources.clear();
    }
}

type Shared = Arc<Mutex<(Saved, bool)>>;

fn locked(shared: &Shared) -> MutexGuard<'_, (Saved, bool)> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what a system says, while a look is taken.
#[derive(Debug)]
pub struct SystemRecorder<S> {
    system: S,
    shared: Shared,
}

/// What a [`SystemRecorder`] has noted.
#[derive(Clone)]
pub struct Noted(Shared);

impl Noted {
    /// All of it so far.
    pub fn saved(&self) -> Saved {
        locked(&self.0).0.clone()
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noted")
    }
}

impl<S: System> SystemRecorder<S> {
    /// A recorder of what `system` says, and what it notes.
    pub fn new(system: S) -> (Self, Noted) {
        let saved = Saved {
            process: system.process(),
            own_pid: system.own_pid(),
            looks: vec![Look::default()],
            ..Saved::default()
        };
        let shared = Arc::new(Mutex::new((saved, true)));
        (Self { system, shared: Arc::clone(&shared) }, Noted(shared))
    }

    /// Notes an answer, if a look is taken.
    fn note<T: Clone>(&self, answer: T, to: impl FnOnce(&mut Look) -> &mut Answers<T>) -> T {
        if let (saved, true) = &mut *locked(&self.shared)
            && let Some(look) = saved.looks.last_mut()
        {
            to(look).all.push(answer.clone());
        }
        answer
    }

    fn note_one<K: Ord + 'static, T: Clone>(
        &self,
        of: K,
        answer: Option<T>,
        to: impl FnOnce(&mut Look) -> &mut By<K, T>,
    ) -> Option<T> {
        self.note(answer, |look| to(look).entry(of).or_default())
    }

    /// Notes the answers of several, of those too to which there is none.
    fn note_all<K: Ord + Clone + 'static, T: Clone>(
        &self,
        asked: &[K],
        answers: BTreeMap<K, T>,
        to: impl Fn(&mut Look) -> &mut By<K, T>,
    ) -> BTreeMap<K, T> {
        for of in asked {
            self.note_one(of.clone(), answers.get(of).cloned(), &to);
        }
        answers
    }

    fn keep(&self, keep: impl FnOnce(&mut Saved)) {
        keep(&mut locked(&self.shared).0);
    }
}

/// The symbols of a file of which is noted what is asked for.
#[derive(Debug)]
struct NotedSymbols {
    symbols: Box<dyn Symbols>,
    start: u64,
    shared: Shared,
}

impl NotedSymbols {
    fn keep(&self, keep: impl FnOnce(&mut Found)) {
        let (saved, _) = &mut *locked(&self.shared);
        keep(saved.files.entry(self.start).or_default());
    }
}

impl Symbols for NotedSymbols {
    fn path(&self) -> &Path {
        self.symbols.path()
    }

    fn exported(&self, name: &str) -> Option<Address> {
        let at = self.symbols.exported(name)?;
        self.keep(|file| {
            let _ = file.symbols.insert(name.to_owned(), at);
        });
        Some(at)
    }

    fn section(&self, name: &str) -> Option<Range<u64>> {
        let range = self.symbols.section(name)?;
        let ends = (Address(range.start), Address(range.end));
        self.keep(|file| {
            let _ = file.sections.insert(name.to_owned(), ends);
        });
        Some(range)
    }

    fn needed(&self) -> Vec<String> {
        let needed = self.symbols.needed();
        self.keep(|file| file.needed.clone_from(&needed));
        needed
    }
}

impl<S: System> System for SystemRecorder<S> {
    fn pid(&self) -> i32 {
        self.system.pid()
    }

    fn is_live(&self) -> bool {
        self.system.is_live()
    }

    fn begin_look(&mut self) {
        let (saved, is_on) = &mut *locked(&self.shared);
        saved.looks.push(Look::default());
        *is_on = true;
    }

    fn end_look(&mut self) {
        locked(&self.shared).1 = false;
    }

    fn check_alive(&self) -> Result<()> {
        self.system.check_alive()
    }

    fn process(&self) -> Process {
        self.system.process()
    }

    fn own_pid(&self) -> i32 {
        self.system.own_pid()
    }

    fn maps(&self) -> Result<Vec<Mapping>> {
        let maps = self.system.maps()?;
        // Where a container's files lie is nothing of the target's.
        let named = |mapping: &Mapping| Mapping {
            path: mapping.path.as_deref().and_then(Path::file_name).map(PathBuf::from),
            ..mapping.clone()
        };
        self.keep(|saved| saved.maps = maps.iter().map(named).collect());
        Ok(maps)
    }

    fn files(&self, maps: &[Mapping]) -> Vec<MappedFile> {
        let files = self.system.files(maps);
        let main = files.iter().find(|file| file.is_main);
        self.keep(|saved| saved.main = main.map(|file| Address(file.first.start)));
        files
    }

    fn module(&self, file: &MappedFile, memory: &dyn ReadMemory) -> Option<Box<dyn Symbols>> {
        let symbols = self.system.module(file, memory)?;
        let noted =
            NotedSymbols { start: file.first.start, symbols, shared: Arc::clone(&self.shared) };
        noted.keep(|file| noted.symbols.path().clone_into(&mut file.path));
        Some(Box::new(noted))
    }

    /// The runtime may have been found by a search of the memory, which nobody does twice.
    fn found_runtime(&self, file: &Path, at: Address) {
        self.keep(|saved| {
            for known in saved.files.values_mut().filter(|known| known.path == file) {
                known.symbols.insert("_PyRuntime".to_owned(), at);
            }
        });
    }

    fn wall_clock(&self) -> Timestamp {
        self.note(self.system.wall_clock(), |look| &mut look.wall_clock)
    }

    fn cgroup(&self) -> Cgroup {
        self.note(self.system.cgroup(), |look| &mut look.cgroup)
    }

    fn threads(&self) -> Vec<ThreadFacts> {
        self.note(self.system.threads(), |look| &mut look.threads)
    }

    fn thread(&self, tid: i32) -> Option<ThreadFacts> {
        self.note_one(tid, self.system.thread(tid), |look| &mut look.thread)
    }

    fn activity(&self) -> Activity {
        self.note(self.system.activity(), |look| &mut look.activity)
    }

    fn thread_activity(&self, tid: i32) -> Option<ThreadActivity> {
        self.note_one(tid, self.system.thread_activity(tid), |look| &mut look.thread_activity)
    }

    fn sleeps(&self, tid: i32) -> Option<u64> {
        self.note_one(tid, self.system.sleeps(tid), |look| &mut look.sleeps)
    }

    fn asleep_for(&self, tids: &[i32]) -> BTreeMap<i32, Duration> {
        self.note_all(tids, self.system.asleep_for(tids), |look| &mut look.asleep_for)
    }

    fn syscalls(&self, tids: &[i32], read: ReadBytes<'_>) -> Syscalls {
        self.note_all(tids, self.system.syscalls(tids, read), |look| &mut look.syscalls)
    }

    fn descriptors(&self, fds: &[i32]) -> BTreeMap<i32, Described> {
        self.note_all(fds, self.system.descriptors(fds), |look| &mut look.descriptors)
    }

    fn heard_from(&self, peers: &[Arc<str>]) -> BTreeMap<Arc<str>, Duration> {
        self.note_all(peers, self.system.heard_from(peers), |look| &mut look.heard_from)
    }

    fn children(&self, pids: &[i32]) -> BTreeMap<i32, ChildFacts> {
        self.note_all(pids, self.system.children(pids), |look| &mut look.children)
    }

    fn writer(&self, pid: i32, pipes: &[(i32, i32)]) -> Option<PipeWriter> {
        self.note_one(pid, self.system.writer(pid, pipes), |look| &mut look.writers)
    }

    fn pipe_holders(&self, fd: i32) -> Vec<PipeHolder> {
        let holders = Some(self.system.pipe_holders(fd));
        self.note_one(fd, holders, |look| &mut look.pipe_holders).unwrap_or_default()
    }

    fn wakers(&self, epoll: i32) -> Option<Wakers> {
        self.note_one(epoll, self.system.wakers(epoll), |look| &mut look.wakers)
    }

    fn monotonic_now(&self) -> Result<Duration> {
        Ok(self.note(self.system.monotonic_now()?, |look| &mut look.monotonic))
    }

    fn age(&self) -> Option<Duration> {
        self.note(self.system.age(), |look| &mut look.age)
    }

    fn bytes_moved(&self) -> Option<u64> {
        self.note(self.system.bytes_moved(), |look| &mut look.bytes_moved)
    }

    fn born_by(&self) -> Option<f64> {
        let born_by = self.system.born_by();
        self.keep(|saved| saved.born_by = born_by);
        born_by
    }

    fn forked_from(&self) -> Option<i32> {
        let forked_from = self.system.forked_from();
        self.keep(|saved| saved.forked_from = forked_from);
        forked_from
    }

    fn installed(&self, folder: &str) -> Vec<Arc<str>> {
        let installed = self.system.installed(folder);
        self.keep(|saved| {
            let _ = saved.installed.insert(folder.to_owned(), installed.clone());
        });
        installed
    }

    fn source(&self, path: &str) -> Option<Arc<str>> {
        let source = self.system.source(path);
        self.keep(|saved| {
            let _ = saved.sources.insert(path.to_owned(), source.clone());
        });
        source
    }
}

/// What was saved of a target, as its system.
#[derive(Debug)]
pub struct SavedSystem {
    saved: Saved,
    /// The look that is taken: 0 while attaching.
    look: usize,
}

impl SavedSystem {
    /// What was saved, from its beginning on.
    pub fn new(saved: Saved) -> Self {
        Self { saved, look: 0 }
    }

    /// The next answer of this look; where there is none, that of the look before, then of one
    /// after.
    fn next<T>(&self, of: impl Fn(&Look) -> Option<T>) -> Option<T> {
        let looks = &self.saved.looks;
        let until_now = looks.iter().take(self.look + 1).rev();
        until_now.chain(looks.iter().skip(self.look + 1)).find_map(of)
    }

    fn one<K: Ord + 'static, T: Clone>(
        &self,
        asked: &K,
        of: impl Fn(&Look) -> &By<K, T>,
    ) -> Option<T> {
        self.next(|look| of(look).get(asked)?.next()).flatten()
    }

    fn all<K: Ord + Clone + 'static, T: Clone>(
        &self,
        asked: &[K],
        of: impl Fn(&Look) -> &By<K, T>,
    ) -> BTreeMap<K, T> {
        asked.iter().filter_map(|asked| Some((asked.clone(), self.one(asked, &of)?))).collect()
    }
}

impl Symbols for Found {
    fn path(&self) -> &Path {
        &self.path
    }

    fn exported(&self, name: &str) -> Option<Address> {
        self.symbols.get(name).copied()
    }

    fn section(&self, name: &str) -> Option<Range<u64>> {
        self.sections.get(name).map(|(start, end)| start.0..end.0)
    }

    fn needed(&self) -> Vec<String> {
        self.needed.clone()
    }
}

impl System for SavedSystem {
    fn pid(&self) -> i32 {
        self.saved.process.pid
    }

    fn is_live(&self) -> bool {
        false
    }

    fn begin_look(&mut self) {
        self.look = self.look.saturating_add(1);
    }

    fn has_next_look(&self) -> bool {
        self.look < self.saved.looks()
    }

    fn check_alive(&self) -> Result<()> {
        Ok(())
    }

    fn process(&self) -> Process {
        self.saved.process.clone()
    }

    fn own_pid(&self) -> i32 {
        self.saved.own_pid
    }

    fn maps(&self) -> Result<Vec<Mapping>> {
        Ok(self.saved.maps.clone())
    }

    fn files(&self, maps: &[Mapping]) -> Vec<MappedFile> {
        MappedFile::all(maps, |mapping| self.saved.main == Some(Address(mapping.start)))
    }

    fn module(&self, file: &MappedFile, _memory: &dyn ReadMemory) -> Option<Box<dyn Symbols>> {
        let found = self.saved.files.get(&file.first.start)?.clone();
        Some(Box::new(found))
    }

    fn wall_clock(&self) -> Timestamp {
        self.next(|look| look.wall_clock.next()).unwrap_or_default()
    }

    fn cgroup(&self) -> Cgroup {
        self.next(|look| look.cgroup.next()).unwrap_or_default()
    }

    fn threads(&self) -> Vec<ThreadFacts> {
        self.next(|look| look.threads.next()).unwrap_or_default()
    }

    fn thread(&self, tid: i32) -> Option<ThreadFacts> {
        self.one(&tid, |look| &look.thread)
    }

    fn activity(&self) -> Activity {
        self.next(|look| look.activity.next()).unwrap_or_else(Activity::unknown)
    }

    fn thread_activity(&self, tid: i32) -> Option<ThreadActivity> {
        self.one(&tid, |look| &look.thread_activity)
    }

    fn sleeps(&self, tid: i32) -> Option<u64> {
        self.one(&tid, |look| &look.sleeps)
    }

    fn asleep_for(&self, tids: &[i32]) -> BTreeMap<i32, Duration> {
        self.all(tids, |look| &look.asleep_for)
    }

    fn syscalls(&self, tids: &[i32], _read: ReadBytes<'_>) -> Syscalls {
        self.all(tids, |look| &look.syscalls)
    }

    fn descriptors(&self, fds: &[i32]) -> BTreeMap<i32, Described> {
        self.all(fds, |look| &look.descriptors)
    }

    fn heard_from(&self, peers: &[Arc<str>]) -> BTreeMap<Arc<str>, Duration> {
        self.all(peers, |look| &look.heard_from)
    }

    fn children(&self, pids: &[i32]) -> BTreeMap<i32, ChildFacts> {
        self.all(pids, |look| &look.children)
    }

    fn writer(&self, pid: i32, _pipes: &[(i32, i32)]) -> Option<PipeWriter> {
        self.one(&pid, |look| &look.writers)
    }

    fn pipe_holders(&self, fd: i32) -> Vec<PipeHolder> {
        self.one(&fd, |look| &look.pipe_holders).unwrap_or_default()
    }

    fn wakers(&self, epoll: i32) -> Option<Wakers> {
        self.one(&epoll, |look| &look.wakers)
    }

    fn monotonic_now(&self) -> Result<Duration> {
        Ok(self.next(|look| look.monotonic.next()).unwrap_or_default())
    }

    fn age(&self) -> Option<Duration> {
        self.next(|look| look.age.next()).flatten()
    }

    fn bytes_moved(&self) -> Option<u64> {
        self.next(|look| look.bytes_moved.next()).flatten()
    }

    fn born_by(&self) -> Option<f64> {
        self.saved.born_by
    }

    fn forked_from(&self) -> Option<i32> {
        self.saved.forked_from
    }

    fn installed(&self, folder: &str) -> Vec<Arc<str>> {
        self.saved.installed.get(folder).cloned().unwrap_or_default()
    }

    fn source(&self, path: &str) -> Option<Arc<str>> {
        self.saved.sources.get(path).cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Target;

    #[test]
    fn answers_are_given_again_in_their_order() {
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (mut recorder, noted) = SystemRecorder::new(target);
        let tid = recorder.pid();
        let asked = |recorder: &mut dyn System| {
            recorder.begin_look();
            let now: Vec<Duration> = (0..3).map(|_| recorder.monotonic_now().unwrap()).collect();
            let thread = recorder.thread(tid).unwrap();
            recorder.end_look();
            (now, thread)
        };
        let looks = [asked(&mut recorder), asked(&mut recorder)];
        // Between looks nothing is noted.
        recorder.monotonic_now().unwrap();
        let saved = serde_json::to_string(&noted.saved()).unwrap();
        let saved: Saved = serde_json::from_str(&saved).unwrap();
        assert_eq!(saved.looks(), 2);
        let mut system = SavedSystem::new(saved);
        assert_eq!(system.process().cmdline, recorder.process().cmdline);
        for look in looks {
            assert!(system.has_next_look());
            assert_eq!(asked(&mut system), look);
            // Time stands still when nothing more was said.
            assert_eq!(system.monotonic_now().ok(), look.0.last().copied());
            assert_eq!(system.thread(tid + 1), None);
        }
        assert!(!system.has_next_look());
    }

    #[test]
    fn values_on_the_command_line_are_hidden() {
        let words = "/usr/bin/python -B app.py --host=db --password=x --verbose -px --token x";
        let cmdline = words.split(' ').map(str::to_owned).collect();
        let process = Process { cmdline, ..Process::default() };
        let mut saved = Saved { process, ..Saved::default() };
        saved.sources.insert("app.py".to_owned(), Some("password = 'x'".into()));
        saved.hide();
        assert_eq!(
            saved.process.cmdline.join(" "),
            "/usr/bin/python -B ‹hidden› --host=‹hidden› --password=‹hidden› --verbose -p‹hidden› \
             --token ‹hidden›"
        );
        assert!(saved.sources.is_empty());
    }
}
