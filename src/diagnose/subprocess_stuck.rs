//! `subprocess-stuck`: a task waits for a child process that cannot go on, or that has ended and is
//! not known to have closed its pipes.
//!
//! A child waits for room in a pipe whenever we are slower than it: reading pauses by itself, and
//! goes on when somebody takes what was read. So both looks have to find it in one and the same wait,
//! and it is sure where nobody refers to the stream but those who wait for the child. After the end of
//! a child its pipes end too, unless others have them; who is at work is likely to end.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::words::WAIT;
use super::{Context, STUCK_AFTER, words};
use crate::snapshot::{
    Age, Cause, Code, Evidence, FullPipe, HeldPipe, Pending, PipeHolder, Role, Sentence, Severity,
    Source, Subprocess, Sureness, Task,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::SubprocessStuck,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause],
};

/// Who sleeps for so long with a pipe that is not its own has no use for it.
const AT_REST: Duration = Duration::from_secs(1);

fn find(context: &Context<'_>, out: &mut Drafts) {
    for process in context.now.subprocesses() {
        let tasks = process.tasks.iter().filter_map(|&id| context.task(id));
        let tasks: Vec<&Task> = tasks.filter(|task| task.is_parked()).collect();
        if tasks.is_empty() {
            continue;
        }
        let Some(first) = context.looks.first else {
            out.want_second_look();
            continue;
        };
        let before = first.subprocesses().iter().find(|before| before.id == process.id);
        let stays = tasks.iter().all(|task| context.pairs.has_not_moved(task));
        let Some(before) = before.filter(|_| stays) else { continue };
        let stuck = Stuck { process, before, tasks };
        match &process.full {
            Some(full) => out.extend(full_pipe(context, &stuck, full)),
            None => out.extend(held_pipe(context, &stuck)),
        }
    }
}

/// A process that is waited for, at both looks.
struct Stuck<'s> {
    process: &'s Subprocess,
    before: &'s Subprocess,
    tasks: Vec<&'s Task>,
}

impl Stuck<'_> {
    /// Whether a time limit is around each wait for it.
    fn is_limited(&self) -> bool {
        let is_limited = |task: &&Task| {
            task.waiting_on.as_deref().is_some_and(|waiting| !waiting.deadlines.is_empty())
        };
        self.tasks.iter().all(is_limited)
    }

    /// `ffmpeg (4121)`.
    fn called(&self) -> String {
        match &self.process.name {
            Some(name) => format!("{name} ({})", self.process.pid),
            None => format!("Process {}", self.process.pid),
        }
    }

    fn draft(
        &self,
        context: &Context<'_>,
        severity: Severity,
        title: Sentence,
        age: Option<Age>,
        pending: Option<Pending>,
    ) -> Draft {
        let task = self.tasks.first();
        let nodes = self.tasks.iter().map(|task| Node::Task(task.id));
        let hanging = nodes.map(|node| context.graph.waiting_for(node).len());
        Draft::new(Code::SubprocessStuck, severity, Sureness::Derived, title)
            .on_loop(task.and_then(|task| task.loop_id))
            .blames(self.tasks.iter().map(|task| Node::Task(task.id)))
            .at(task.and_then(|task| words::place(task)), None)
            .key([self.process.name.as_deref()])
            .cause(Some(Cause::Process { pid: self.process.pid, name: self.process.name.clone() }))
            .since(age)
            .pending(pending)
            .role(Role::Waiter, self.tasks.iter().copied())
            .affects(self.tasks.len() + hanging.sum::<usize>())
    }

    fn pending(&self, age: Option<Age>) -> Pending {
        let who = words::who_waits(self.tasks.iter().copied());
        let seen_for = age.map(|age| age.time).unwrap_or_default();
        Pending { what: format!("{who} for {}", self.called()), seen_for }
    }
}

/// What a process calls its pipe.
fn pipe(number: i32) -> &'static str {
    match number {
        1 => "stdout",
        2 => "stderr",
        _ => "stdin",
    }
}

fn full_pipe(context: &Context<'_>, stuck: &Stuck<'_>, full: &FullPipe) -> Option<Draft> {
    let before = stuck.before.full.as_ref()?;
    let (writer, was) = (&full.writer, &before.writer);
    let is_same = (writer.pid, full.number) == (was.pid, before.number)
        && writer.sleep_id.is_some()
        && writer.sleep_id == was.sleep_id;
    if !is_same {
        return None;
    }
    let gap = context.gap.map(|gap| Age::at_least(gap, Source::Samples));
    let slept = writer.asleep_for.map(|slept| Age::at_least(slept, Source::Scheduler));
    let age = slept.into_iter().chain(gap).max_by_key(|age| age.time);
    let is_old = age.is_some_and(|age| age.time >= STUCK_AFTER);
    let may_end = stuck.is_limited() || !full.readers.is_empty();
    let is_sure = full.is_out_of_reach && before.is_out_of_reach;
    let severity = if (is_sure || is_old) && !may_end { Severity::Warning } else { Severity::Info };
    let name = pipe(full.number);
    let title = Sentence::name(stuck.called()).verb("can't", "couldn't").then("go on").so(
        Sentence::words(format!("its {name} pipe"))
            .verb("is full", "was full")
            .then(if full.readers.is_empty() { "and nobody reads it" } else { "and not read" }),
    );
    let who = if writer.pid == stuck.process.pid {
        "it".to_owned()
    } else {
        format!("{} (process {}, below it)", writer.name, writer.pid)
    };
    let mut lines = vec![Evidence::from(format!(
        "{who} is in {}, until somebody reads what it has written to {name}",
        writer.call
    ))];
    lines.extend(stuck.tasks.iter().map(|task| words::wait_line(task).role(Role::Waiter)));
    let readers = full.readers.iter().filter_map(|&id| context.task(id)).take(words::MAX_NAMED);
    lines.extend(readers.map(|task| words::wait_line(task).role(Role::Suspect)));
    lines.push(Evidence::from(if full.is_out_of_reach {
        "nothing else refers to the stream"
    } else if full.readers.is_empty() {
        "no other task is seen to refer to the stream"
    } else {
        "who refers to the stream may read on"
    }));
    if stuck.is_limited() {
        lines.push("there is a time limit around the wait".into());
    }
    let advice = format!(
        "Read {name} while the child runs: `await process.communicate()` in place of `wait()`, a \
         task that reads it, or `{name}=asyncio.subprocess.DEVNULL` if nobody needs it. A pipe takes \
         64 KiB, and the stream twice its limit.",
    );
    let pending = (!may_end).then(|| stuck.pending(age));
    Some(stuck.draft(context, severity, title, age, pending).evidence(lines).advice(advice))
}

fn held_pipe(context: &Context<'_>, stuck: &Stuck<'_>) -> Option<Draft> {
    let was = |number: i32, holder: &PipeHolder| {
        let pipe = stuck.before.held.iter().find(|pipe| pipe.number == number)?;
        pipe.holders.iter().find(|before| before.pid == holder.pid)
    };
    // Who has it at both looks.
    let stays = |pipe: &HeldPipe| {
        let holders = pipe.holders.iter();
        holders.filter(|holder| was(pipe.number, holder).is_some()).count() > 0
    };
    let pipe_held = stuck.process.held.iter().find(|pipe| stays(pipe))?;
    let rests = |holder: &PipeHolder| {
        let before = was(pipe_held.number, holder);
        holder.asleep_for >= Some(AT_REST)
            && holder.sleep_id.is_some()
            && before.is_some_and(|before| before.sleep_id == holder.sleep_id)
    };
    let age = context.age(stuck.tasks.iter().copied());
    let is_old = age.is_some_and(|age| age.time >= STUCK_AFTER);
    let may_end = stuck.is_limited();
    let is_at_rest = pipe_held.holders.iter().all(rests);
    let severity =
        if (is_at_rest || is_old) && !may_end { Severity::Warning } else { Severity::Info };
    let name = pipe(pipe_held.number);
    let holder = pipe_held.holders.first()?;
    let title = Sentence::words(format!("Process {} has ended,", stuck.process.pid))
        .then("but its")
        .then(name)
        .verb("is", "was")
        .then(format!("open in process {}", holder.pid))
        .so_many(words::who(stuck.tasks.iter().copied()), WAIT);
    let holders = pipe_held.holders.iter();
    let mut lines: Vec<Evidence> = holders
        .map(|it| Evidence::from(format!("process {} has it open: {}", it.pid, it.command)))
        .collect();
    lines.extend(stuck.tasks.iter().map(|task| words::wait_line(task).role(Role::Waiter)));
    if may_end {
        lines.push("there is a time limit around the wait".into());
    }
    let advice = format!(
        "Start what stays behind with its own {name} (`>/dev/null 2>&1`, `{name}=DEVNULL`), or wait \
         for the child's end and not for that of its output: up to Python 3.13 `wait()` waits for \
         both. To end it now: `kill {}`.",
        holder.pid
    );
    let pending = (!may_end).then(|| stuck.pending(age));
    Some(stuck.draft(context, severity, title, age, pending).evidence(lines).advice(advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};
    use crate::memory::Address;
    use crate::snapshot::{PipeWriter, Program, Snapshot, Wait};

    /// Tasks that wait for a child.
    fn waiting(subprocess: Subprocess) -> Scene {
        let program = Program { pid: Some(400), name: Some("ffmpeg".to_owned()) };
        let tasks = [task(1).waits(Wait::Subprocess(program)), task(2).sleeps(3000)];
        Scene::new().with(tasks).and(|snapshot| {
            snapshot.grounds.get_or_insert_default().subprocesses = vec![subprocess];
        })
    }

    fn child() -> Subprocess {
        Subprocess {
            id: Address(0x400),
            pid: 400,
            name: Some("ffmpeg".to_owned()),
            has_ended: false,
            tasks: vec![Address(1)],
            full: None,
            held: Vec::new(),
        }
    }

    /// Its child has waited for so long for somebody to read.
    fn full(slept: Duration) -> Scene {
        let writer = PipeWriter {
            number: 2,
            pid: 400,
            name: "ffmpeg".to_owned(),
            call: "write".to_owned(),
            sleep_id: Some(7),
            asleep_for: Some(slept),
        };
        let full = FullPipe { number: 2, writer, readers: Vec::new(), is_out_of_reach: true };
        waiting(Subprocess { full: Some(full), ..child() })
    }

    fn pipe_of(snapshot: &mut Snapshot) -> &mut FullPipe {
        let grounds = snapshot.grounds.as_mut().unwrap();
        grounds.subprocesses[0].full.as_mut().unwrap()
    }

    const MOMENT: Duration = Duration::from_millis(300);

    #[test]
    fn a_child_whose_output_nobody_can_read() {
        let scene = full(MOMENT);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::SubprocessStuck, Severity::Warning));
        assert_eq!(
            finding.title.to_string(),
            "ffmpeg (400) can't go on: its stderr pipe is full and nobody reads it"
        );
        assert_eq!(finding.tasks, [Address(1)]);
    }

    #[test]
    fn one_that_is_read_on_by_others_or_in_time_is_a_note() {
        let in_reach = |slept| full(slept).and(|it| pipe_of(it).is_out_of_reach = false);
        let twice = in_reach(MOMENT).twice();
        assert_eq!(twice.only().severity, Severity::Info);
        assert_eq!(in_reach(STUCK_AFTER).twice().only().severity, Severity::Warning);
        let read = in_reach(STUCK_AFTER).and(|it| pipe_of(it).readers = vec![Address(2)]);
        let twice = read.twice();
        assert_eq!(twice.only().severity, Severity::Info);
        assert_eq!(
            twice.only().title.to_string(),
            "ffmpeg (400) can't go on: its stderr pipe is full and not read"
        );
        let limited = full(STUCK_AFTER).and(|snapshot| {
            let waiting = snapshot.tasks[0].waiting_on.as_mut().unwrap();
            waiting.deadlines = task(3).sleeps(1).deadline(3000).task.waiting_on.unwrap().deadlines;
        });
        limited.twice().assert_no_warning();
    }

    #[test]
    fn one_that_has_written_meanwhile_comes_on() {
        let first = full(MOMENT).before();
        let wrote = full(MOMENT).and(|it| pipe_of(it).writer.sleep_id = Some(8));
        assert!(wrote.after(&first).findings.is_empty());
        let began = full(MOMENT);
        let none = waiting(child()).before();
        assert!(began.after(&none).findings.is_empty());
        let unknown = full(MOMENT).and(|it| pipe_of(it).writer.sleep_id = None);
        assert!(unknown.twice().findings.is_empty());
    }

    fn held(slept: Duration) -> Scene {
        let holder = PipeHolder {
            pid: 401,
            command: "sleep 1000".to_owned(),
            sleep_id: Some(3),
            asleep_for: Some(slept),
        };
        let held = vec![HeldPipe { number: 1, holders: vec![holder] }];
        waiting(Subprocess { has_ended: true, name: None, held, ..child() })
    }

    #[test]
    fn a_pipe_that_another_process_has_after_the_end() {
        let twice = held(AT_REST).twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(
            finding.title.to_string(),
            "Process 400 has ended, but its stdout is open in process 401: 1 task waits"
        );
        let facts = finding.facts();
        assert!(facts.iter().any(|it| it.ends_with("sleep 1000")), "{facts:?}");
        assert!(held(AT_REST).once().findings.is_empty());
        // It may yet come to its end.
        held(MOMENT).twice().assert_no_warning();
        let ran = held(AT_REST).and(|snapshot| {
            let grounds = snapshot.grounds.as_mut().unwrap();
            grounds.subprocesses[0].held[0].holders[0].sleep_id = Some(4);
        });
        ran.after(&held(AT_REST).before()).assert_no_warning();
        let gone = waiting(child());
        assert!(gone.after(&held(AT_REST).before()).findings.is_empty());
    }
}
