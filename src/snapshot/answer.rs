//! What a snapshot comes to, in one sentence: the first root cause, and all whom it hurts.

use std::borrow::Cow;

use rustc_hash::FxHashSet;

use super::{
    Age, Code, Doubt, Finding, FindingId, Flight, LoopState, Phrase, Role, Sentence, Severity,
    Snapshot, Task, Undecided, Verdict, WorkKind, by_root, duration, with_separators,
};
use crate::memory::Address;

/// What a snapshot comes to.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How bad it is.
    pub level: Level,
    /// The same as a sentence.
    pub sentence: Sentence,
    /// The first root cause.
    pub cause: Option<FindingId>,
    /// How many root causes there are.
    pub causes: usize,
    /// Whom it hurts.
    pub hurt: Option<Hurt>,
}

/// What a snapshot comes to, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing is wrong.
    Ok,
    /// Something may be.
    Undecided,
    /// Something is.
    Warning,
    /// Something stands still.
    Critical,
    /// Something is wrong, and all of it is allowed.
    Allowed,
    /// There was no loop to judge.
    NotJudged,
}

impl Level {
    /// Its word in a document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Undecided => "undecided",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Allowed => "allowed",
            Self::NotJudged => "not-judged",
        }
    }
}

/// How many cannot go on, of how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hurt {
    /// Whether requests are counted; else tasks.
    pub is_of_requests: bool,
    /// Those that cannot go on.
    pub count: usize,
    /// All.
    pub of: usize,
}

impl Hurt {
    /// `161 of 175 requests`
    fn words(self) -> String {
        let Self { is_of_requests, count, of } = self;
        let noun = if is_of_requests { "request" } else { "task" };
        let plural = if of == 1 { "" } else { "s" };
        let count = with_separators(count);
        if count == with_separators(of) {
            return if of == 1 {
                format!("the only {noun}")
            } else {
                format!("all {count} {noun}s")
            };
        }
        format!("{count} of {} {noun}{plural}", with_separators(of))
    }
}

impl Snapshot {
    /// What it comes to; nothing where nobody looked for what is wrong.
    pub fn answer(&self) -> Option<Answer> {
        let all = self.findings.as_deref()?;
        let open: Cow<'_, [Finding]> = if self.allowed() == 0 {
            all.into()
        } else {
            all.iter().filter(|it| !it.is_allowed).cloned().collect()
        };
        let findings = &*open;
        let chains = by_root(findings);
        let worst = |root: usize, followers: &[usize]| {
            let all = followers.iter().chain([&root]).filter_map(|at| findings.get(*at));
            all.map(|it| it.severity).max()
        };
        let causes = chains
            .iter()
            .filter(|(root, followers)| worst(*root, followers) > Some(Severity::Info));
        let count = causes.clone().count();
        if let Some((root, followers)) = causes.clone().next()
            && let Some(finding) = findings.get(*root)
        {
            let followers: Vec<&Finding> =
                followers.iter().filter_map(|at| findings.get(*at)).collect();
            let critical = followers.iter().any(|it| it.severity == Severity::Critical)
                || finding.severity == Severity::Critical;
            let level = if critical { Level::Critical } else { Level::Warning };
            let hurt = self.hurt(finding, &followers);
            let sentence = consequence(finding, &followers, hurt);
            let sentence = match of_process(finding) {
                Some(process) => Sentence::words(process).join(sentence),
                None => sentence,
            };
            return Some(Answer { level, sentence, cause: Some(finding.id), causes: count, hurt });
        }
        if !self.has_loop_to_judge() {
            let sentence = Sentence::words("no event loop to judge");
            return Some(Answer::plain(Level::NotJudged, sentence));
        }
        let matters = |it: &Finding| it.severity > Severity::Info || self.is_pending(it);
        let allowed = all.iter().filter(|it| it.is_allowed && matters(it)).count();
        if self.verdict != Some(Verdict::Ok) {
            return Some(if allowed > 0 && self.doubts().next().is_none() {
                Answer::plain(Level::Allowed, Sentence::words(nothing_else(allowed)))
            } else {
                self.doubt(findings, &chains)
            });
        }
        Some(Answer::plain(Level::Ok, Sentence::words(self.all_is_well())))
    }

    /// How many findings are allowed.
    pub fn allowed(&self) -> usize {
        self.findings.iter().flatten().filter(|it| it.is_allowed).count()
    }

    /// Why it can't be said that all is well, but for what is allowed.
    pub fn doubts(&self) -> impl Iterator<Item = &Undecided> {
        let is_of_allowed = |doubt: &Undecided| {
            let mut of_code =
                self.findings.iter().flatten().filter(|it| Some(it.code) == doubt.code).peekable();
            of_code.peek().is_some() && of_code.all(|it| it.is_allowed)
        };
        self.undecided.iter().filter(move |doubt| !is_of_allowed(doubt))
    }

    /// That it is too soon to say, or that not everything could be read.
    fn doubt(&self, findings: &[Finding], chains: &[(usize, Vec<usize>)]) -> Answer {
        let first = self.doubts().next();
        let soon = "too soon to say";
        let pending = chains.iter().find_map(|(root, followers)| {
            let finding = findings.get(*root).filter(|finding| self.is_pending(finding))?;
            let is_said = first.is_none_or(|doubt| doubt.code == Some(finding.code));
            let followers = followers.iter().filter_map(|at| findings.get(*at)).collect::<Vec<_>>();
            is_said.then_some((finding, followers))
        });
        if let Some((finding, followers)) = pending {
            let hurt = self.hurt(finding, &followers);
            let mut sentence = Sentence { consequence: Vec::new(), ..finding.title.clone() };
            if let Some(hurt) = hurt.filter(|_| finding.title.counts()) {
                let verb = if hurt.count == 1 { "waits" } else { "wait" };
                sentence = sentence.then(format!(", {} {verb}", hurt.words()));
            }
            let sentence = sentence.so(Sentence::words(soon));
            let cause = Some(finding.id);
            return Answer { level: Level::Undecided, sentence, cause, causes: 1, hurt };
        }
        let Some(Undecided { title, seen_for, reason, .. }) = first else {
            return Answer::plain(Level::Undecided, Sentence::words("nobody has judged this"));
        };
        let seen = seen_for.map(|time| format!(", seen for {}", duration(time)));
        let sentence = Sentence::words(title.clone()).maybe(seen);
        Answer::plain(
            Level::Undecided,
            match reason {
                Doubt::TooSoon => sentence.so(Sentence::words(soon)),
                _ => sentence,
            },
        )
    }

    /// Whether all that was read is in it: a document may have only the tasks that findings name.
    fn has_all(&self) -> bool {
        !self.threads.is_empty()
    }

    /// `8 requests in flight, oldest 432 ms: none is stuck, the loop is not blocked`
    fn all_is_well(&self) -> String {
        let Flight { requests, tasks, .. } = self.flight();
        let counted = |number: usize, noun: &str| {
            format!("{} {noun}{}", with_separators(number), if number == 1 { "" } else { "s" })
        };
        let running = || self.loops.iter().filter(|it| it.may_run());
        let is_free = |state| matches!(state, Some(LoopState::Polling | LoopState::Running));
        let loops = match running().count() {
            _ if !running().all(|it| is_free(it.state)) => "",
            0 | 1 => "the loop is not blocked",
            _ => "no loop is blocked",
        };
        let what = if requests > 0 {
            let ages = self.tasks.iter().filter(|task| !task.is_over()).filter_map(|task| {
                let work = task.work.as_deref()?;
                (work.kind == Some(WorkKind::Request)).then_some(work.since)
            });
            let oldest = Age::oldest(ages).map(|age| format!(", oldest {age}"));
            format!("{} in flight{}", counted(requests, "request"), oldest.unwrap_or_default())
        } else if tasks == 0 {
            "no tasks".to_owned()
        } else {
            counted(tasks, "task")
        };
        if !self.has_all() {
            return "no findings".to_owned();
        }
        let many = if requests > 0 { requests } else { tasks };
        let none = match many {
            0 => None,
            1 => Some("it is not stuck"),
            _ => Some("none is stuck"),
        };
        let parts: Vec<&str> =
            none.into_iter().chain((!loops.is_empty()).then_some(loops)).collect();
        if parts.is_empty() { what } else { format!("{what}: {}", parts.join(", ")) }
    }

    /// Those that a cause and what follows from it keep from going on.
    fn hurt(&self, root: &Finding, followers: &[&Finding]) -> Option<Hurt> {
        if !self.has_all() {
            return None;
        }
        let chain = || followers.iter().copied().chain([root]);
        let ids: FxHashSet<FindingId> = chain().map(|it| it.id).collect();
        // Those that findings have no room for are found by what they have in common.
        let tasks: Vec<&Task> = if chain().any(|it| it.tasks_left_out > 0) {
            let groups = self.groups();
            let of_chain = groups.iter().filter(|it| it.findings.iter().any(|id| ids.contains(id)));
            of_chain.flat_map(|group| group.tasks.iter().copied()).collect()
        } else {
            let named: FxHashSet<Address> = chain()
                .filter(|it| it.code != Code::ExceptionUnretrieved)
                .flat_map(|it| it.tasks.iter().copied())
                .collect();
            self.tasks.iter().filter(|task| named.contains(&task.id)).collect()
        };
        let tasks: Vec<&Task> = tasks.into_iter().filter(|task| !task.is_over()).collect();
        let (hurt, all) = (Flight::of(tasks.iter().copied()), self.flight());
        let is_request =
            |task: &&&Task| task.work.as_ref().is_some_and(|it| it.kind == Some(WorkKind::Request));
        let is_of_requests =
            hurt.requests > 0 && tasks.iter().filter(is_request).count() * 2 >= tasks.len();
        let (count, of) =
            if is_of_requests { (hurt.requests, all.requests) } else { (hurt.tasks, all.tasks) };
        (count > 0).then_some(Hurt { is_of_requests, count, of })
    }
}

impl Answer {
    /// The sentence in at most so many letters, if names can be made as short: with all whom it
    /// hurts for as long as there is any room.
    pub fn within(&self, room: usize) -> String {
        let claim = Sentence { consequence: Vec::new(), ..self.sentence.clone() };
        let hurts = self.sentence.counts() || self.sentence.consequence.first().is_some_and(is_all);
        let hurt = self.hurt.filter(|_| hurts).map(Hurt::words).unwrap_or_default();
        let number = hurt.rsplit_once(' ').map_or("", |(number, _)| number);
        let shorter = [&*hurt, number].into_iter().filter(|words| !words.is_empty());
        let shorter = shorter.map(|words| format!("{}: {words} stuck", claim.within(usize::MAX)));
        let whole = self.sentence.in_full();
        let mut all = std::iter::once(whole).chain(shorter);
        let fitting = all.find(|text| text.chars().count() <= room);
        fitting.unwrap_or_else(|| self.sentence.within(room))
    }

    fn plain(level: Level, sentence: Sentence) -> Self {
        Self { level, sentence, cause: None, causes: 0, hurt: None }
    }
}

/// The title of a cause with all whom it hurts in the place of those it hurts directly.
fn consequence(root: &Finding, followers: &[&Finding], hurt: Option<Hurt>) -> Sentence {
    let follows = |code: Code| followers.iter().any(|it| it.code == code);
    let worst = if follows(Code::Standstill) {
        Some(Sentence::words("nothing can wake this process again"))
    } else if follows(Code::ShutdownStuck) {
        Some(Sentence::words("shutdown can't end"))
    } else {
        None
    };
    let title = root.title.clone();
    if let Some(worst) = worst {
        return title.without_and().so(worst);
    }
    let is_of_tasks = title.counts() || title.consequence.is_empty() && has_waiters(followers);
    match hurt.filter(|_| is_of_tasks) {
        Some(hurt) => {
            let verb = if hurt.count == 1 {
                ("is stuck", "was stuck")
            } else {
                ("are stuck", "were stuck")
            };
            title.so(Sentence::words(hurt.words()).verb(verb.0, verb.1))
        }
        None => title,
    }
}

/// That what was found is allowed, and there is nothing else.
pub fn nothing_else(allowed: usize) -> String {
    let (plural, verb) = if allowed == 1 { ("", "is") } else { ("s", "are") };
    let count = with_separators(allowed);
    format!("nothing is wrong but {count} finding{plural} that {verb} allowed")
}

/// `process 4712:`, where a finding is of another process than the one that was asked.
fn of_process(finding: &Finding) -> Option<String> {
    let pid = finding.pid?;
    Some(match &finding.also_in[..] {
        [] => format!("process {pid}:"),
        [other] => format!("processes {pid} and {other}:"),
        others => format!("process {pid} and {} others:", with_separators(others.len())),
    })
}

fn is_all(phrase: &Phrase) -> bool {
    matches!(phrase, Phrase::Words { text } if text.starts_with("all ") || text.starts_with("the only "))
}

/// Whether tasks wait that do not wait for the loop alone.
fn has_waiters(followers: &[&Finding]) -> bool {
    followers.iter().any(|it| it.count(Role::Waiter) > 0)
}
