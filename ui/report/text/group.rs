//! Several processes that are judged as one: what is wrong in any of them, and what that comes to.

use aiospy::Error;
use aiospy::snapshot::{
    Allowed, Doubt, Finding, Level, Severity, Snapshot, Undecided, Verdict, by_root, join_findings,
    nothing_else,
};
use aiospy::watch::several::Looked;

use super::words::processes;
use super::{findings, verdict, words};

/// Several processes with what was read of each.
pub struct Group {
    /// The one that the others are below, if they were chosen so.
    pub root: Option<i32>,
    /// Each process; those that have ended are left out, unless they have to be there.
    pub members: Vec<Looked>,
    /// How many had ended before they were read.
    pub ended: usize,
    /// What is wrong, with the process that it is in.
    pub findings: Vec<Finding>,
}

impl Group {
    /// What came of reading several processes; one `is_asked_for` that has to be there.
    pub fn new(
        root: Option<i32>,
        mut looked: Vec<Looked>,
        is_asked_for: impl Fn(i32) -> bool,
    ) -> Self {
        let before = looked.len();
        looked.retain(|it| !it.has_ended() || is_asked_for(it.pid()));
        let ended = before - looked.len();
        let read: Vec<&Snapshot> = looked.iter().filter_map(|it| it.read.as_ref().ok()).collect();
        let findings = join_findings(&read, Severity::Info, 0);
        Self { root, members: looked, ended, findings }
    }

    /// Marks what is allowed in any of them.
    pub fn allow(&mut self, allowed: &mut Allowed) {
        let read = self.members.iter_mut().filter_map(|it| it.read.as_mut().ok());
        let findings = read.filter_map(|it| it.findings.as_mut());
        findings.chain([&mut self.findings]).for_each(|findings| allowed.mark(findings));
    }

    /// How many of the findings are allowed.
    pub fn allowed(&self) -> usize {
        self.findings.iter().filter(|it| it.is_allowed).count()
    }

    /// Those that were read.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.members.iter().filter_map(|it| it.read.as_ref().ok())
    }

    /// Those that have a loop to judge.
    pub fn judged(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots().filter(|snapshot| snapshot.has_loop_to_judge())
    }

    /// Those that may run loops, and could not be read, or not in time.
    pub fn unread(&self) -> impl Iterator<Item = &Looked> {
        self.members.iter().filter(|it| is_unread(it))
    }

    /// How many tasks they have.
    pub fn tasks(&self) -> usize {
        self.snapshots().map(|snapshot| snapshot.tasks.len()).sum()
    }

    /// The worst finding that is not allowed.
    pub fn worst(&self) -> Option<Severity> {
        let open = self.findings.iter().filter(|finding| !finding.is_allowed);
        open.map(|finding| finding.severity).max()
    }

    /// What it comes to.
    pub fn level(&self) -> Level {
        match self.worst() {
            Some(Severity::Critical) => Level::Critical,
            Some(Severity::Warning) => Level::Warning,
            _ if self.doubts().next().is_some() => Level::Undecided,
            _ if self.judged().next().is_none() => Level::NotJudged,
            _ if self.unread().next().is_some() => Level::Undecided,
            _ if self.wrong_and_allowed() > 0 => Level::Allowed,
            _ => Level::Ok,
        }
    }

    /// Those of which it cannot be said that all is well, for another reason than that they have no
    /// loop.
    fn doubts(&self) -> impl Iterator<Item = &Snapshot> {
        let is_doubt = |it: &Undecided| it.reason != Doubt::NoLoop;
        let is_open = |it: &Snapshot| {
            it.verdict == Some(Verdict::Undecided)
                || it.verdict == Some(Verdict::Findings) && it.allowed() > 0
        };
        self.snapshots().filter(move |it| is_open(it) && it.doubts().any(is_doubt))
    }

    /// How many findings would be worse than notes, were they not allowed.
    fn wrong_and_allowed(&self) -> usize {
        let is_wrong = |it: &&Finding| it.is_allowed && it.severity > Severity::Info;
        self.findings.iter().filter(is_wrong).count()
    }

    /// The same in a sentence.
    pub fn verdict(&self) -> String {
        match self.level() {
            Level::Critical | Level::Warning => self.trouble().unwrap_or_default(),
            Level::Undecided => self.doubt(),
            Level::NotJudged => self.not_judged(),
            Level::Allowed => nothing_else(self.wrong_and_allowed()),
            Level::Ok => format!("{}: none is stuck, no loop is blocked", self.extent()),
        }
    }

    /// The first cause, and in how many processes it is.
    fn trouble(&self) -> Option<String> {
        let open: Vec<Finding> =
            self.findings.iter().filter(|it| !it.is_allowed).cloned().collect();
        let (root, _) = by_root(&open).into_iter().next()?;
        let finding = open.get(root)?;
        if finding.also_in.is_empty() {
            return Some(findings::said(finding));
        }
        let of = processes(self.judged().count());
        Some(format!("{}: {} of {of}", finding.title, finding.also_in.len() + 1))
    }

    /// `18 tasks, 4 loops in 5 processes`
    pub fn extent(&self) -> String {
        let loops = self.judged().map(|snapshot| snapshot.loops.len()).sum();
        let tasks = words::counted(self.tasks(), "task");
        let processes = processes(self.members.len());
        format!("{tasks}, {} in {processes}", words::counted(loops, "loop"))
    }

    /// Why it cannot be said that all is well.
    pub fn doubt(&self) -> String {
        let mut why = Vec::new();
        let mut doubts = self.doubts();
        if let Some(first) = doubts.next() {
            let said = verdict::undecided(first).unwrap_or_default();
            why.push(format!("process {}: {said}", first.process.pid));
            let others = doubts.count();
            if others > 0 {
                why.push(format!("{} more undecided", processes(others)));
            }
        }
        let unread: Vec<i32> = self.unread().map(Looked::pid).collect();
        if !unread.is_empty() {
            let pids = verdict::pids(&unread);
            why.push(format!("{} could not be read: {pids}", processes(unread.len())));
        }
        why.join("; ")
    }

    fn not_judged(&self) -> String {
        let unread = self.unread().count();
        let more = match unread {
            0 => String::new(),
            _ => format!(", and {} could not be read", processes(unread)),
        };
        format!("no event loop to judge in {}{more}", processes(self.members.len() - unread))
    }
}

/// Whether one may run a loop for all that is known.
fn is_unread(looked: &Looked) -> bool {
    match &looked.read {
        Ok(_) => looked.timed_out.is_some(),
        Err(Error::NoAsyncio { .. } | Error::NotPython { .. }) => false,
        Err(_) => true,
    }
}
