//! Event loops, what keeps them, their thread pools, and how far a shutdown is.

use std::io;

use aiospy::snapshot::{
    Blocking, Evidence, Executor, Frame, Loop, LoopState, Snapshot, Stage, Syscall, below_loop,
};
use unicode_width::UnicodeWidthStr;

use super::source::Lines;
use super::waiting::TaskNames;
use super::{merge, thread_name, tree, words};
use crate::io::page::{Line, Page, Style};

/// How many frames of a blocked thread the header shows.
const MAX_LIVE_FRAMES: usize = 6;
/// How many pools are listed; the rest is counted.
const MAX_POOLS: usize = 8;
/// How many kinds of calls in a pool are named.
const MAX_CALLS: usize = 3;

/// Writes all loops and pools, and how far the shutdown is.
///
/// # Errors
/// Those of the page.
pub fn section(snapshot: &Snapshot, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    for (at, of) in snapshot.loops.iter().enumerate() {
        event_loop(at + 1, of, snapshot, lines, page)?;
    }
    let is_default = |pool: &&Executor| {
        let mut defaults = snapshot.loops.iter().filter_map(|of| of.executor.as_ref());
        pool.id.is_some() && defaults.any(|default| default.id == pool.id)
    };
    let others: Vec<&Executor> =
        snapshot.executors.iter().filter(|pool| !is_default(pool)).collect();
    for pool in others.iter().take(MAX_POOLS) {
        let name = pool.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("unnamed");
        let line = Line::new().with(Style::Strong, "pool  ").with(Style::Plain, name);
        page.line(&executor(line.with(Style::Plain, ": "), pool))?;
    }
    if let Some(more) = others.len().checked_sub(MAX_POOLS + 1) {
        let words = format!("… {} more pools", words::count(more + 1));
        page.line(&Line::new().with(Style::Dim, &words))?;
    }
    shutdown(snapshot, lines, page)?;
    if snapshot.loops.is_empty() && others.is_empty() && snapshot.shutdown.is_none() {
        return Ok(());
    }
    page.blank()
}

/// Writes what a loop does.
///
/// # Errors
/// Those of the page.
pub fn event_loop(
    number: usize,
    of: &Loop,
    snapshot: &Snapshot,
    lines: &Lines<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let label = format!("loop {number}  ");
    let mut line = Line::new().with(Style::Strong, &label);
    let (style, state) = words::loop_state(of);
    line.add(style, &state);
    let is_blocked = of.state == Some(LoopState::Blocked);
    let is_alive = of.may_run();
    if let Some(handle) = of.iteration.as_ref().and_then(words::handle).filter(|_| is_alive) {
        line.add(if is_blocked { Style::Strong } else { Style::Plain }, &format!(" in {handle}"));
    }

    let thread =
        of.thread.and_then(|tid| snapshot.threads.iter().find(|thread| thread.tid == Some(tid)));
    let held = thread.and_then(|thread| words::held(thread.state));
    if let Some(held) = held.or(snapshot.is_frozen().then_some("FROZEN with its cgroup")) {
        line.add(Style::Alarm, &format!("  {held}"));
    }

    let mut facts = Vec::new();
    if let Some(ready) = of.ready {
        facts.push(format!("{ready} ready"));
    }
    if let Some(scheduled) = of.scheduled {
        facts.push(format!("{scheduled} timer{}", if scheduled == 1 { "" } else { "s" }));
    }
    if let Some(lag) = of.lag.filter(|lag| !lag.is_zero()) {
        facts.push(format!("late by at least {}", words::duration(lag)));
    }
    match (thread, of.thread) {
        (Some(thread), _) => facts.push(thread_name(thread)),
        (None, Some(tid)) => facts.push(format!("thread {tid}")),
        (None, None) => {}
    }
    facts.push(words::loop_class(&of.class).to_owned());
    if of.debug == Some(true) {
        facts.push("debug mode".to_owned());
    }
    // One line if it fits, for calm; else the facts go below.
    let margin = " ".repeat(label.len());
    let joined = facts.join("  ");
    if !is_blocked && line.width() + 3 + joined.width() <= page.room(0) {
        page.line(&line.with(Style::Dim, "   ").with(Style::Dim, &joined))?;
    } else {
        page.line(&line)?;
        page.items(&margin, Style::Dim, "  ", &facts)?;
    }

    if let Some(blocking) = of.blocking.as_ref().filter(|_| is_blocked) {
        blocked_by(blocking, &margin, page)?;
    }
    if let Some(thread) = thread.filter(|_| is_blocked) {
        // What is at the other end is said once.
        let is_told = |peer: &String| {
            of.blocking.as_ref().is_some_and(|blocking| blocking.description.contains(peer))
        };
        let syscall = thread
            .syscall
            .clone()
            .map(|call| Syscall { peer: call.peer.filter(|peer| !is_told(peer)), ..call });
        if let Some(doing) = words::thread(thread.state, syscall.as_ref()) {
            let style = if of.blocking.is_some() { Style::Dim } else { Style::Notice };
            page.line(&Line::new().with(Style::Plain, &margin).with(style, &doing))?;
        }
        let stack = match below_loop(&thread.frames) {
            [] => thread.frames.as_slice(),
            below => below,
        };
        if is_told_above(of, stack, snapshot) {
            let words = format!("{margin}its stack is above, with the finding");
            page.line(&Line::new().with(Style::Dim, &words))?;
        } else {
            live_stack(stack, of.blocking.as_ref(), &margin, lines, page)?;
        }
    }
    if let Some(pool) = &of.executor {
        let line = Line::new().with(Style::Plain, &margin).with(Style::Plain, "executor: ");
        page.line(&executor(line, pool))?;
    }
    Ok(())
}

/// Whether a finding about this loop gives its stack already.
fn is_told_above(of: &Loop, stack: &[Frame], snapshot: &Snapshot) -> bool {
    let Some(innermost) = stack.last().map(|frame| &frame.location) else { return false };
    let is_frame = |fact: &Evidence| fact.text.is_empty() && fact.place.as_ref() == Some(innermost);
    let mut findings = snapshot.findings.iter().flatten();
    findings.any(|finding| {
        finding.loop_id == Some(of.id)
            && finding.because_of.is_none()
            && finding.evidence.iter().any(is_frame)
    })
}

/// `socket: recv from tcp 10.0.0.5:5432`
fn blocked_by(blocking: &Blocking, margin: &str, page: &mut Page<'_>) -> io::Result<()> {
    let kind = words::blocking_kind(blocking.kind);
    let mut line = Line::new().with(Style::Plain, margin).with(Style::Dim, "blocked in ");
    line.add(Style::Notice, kind);
    if !blocking.description.is_empty() && blocking.description != kind {
        line.add(Style::Plain, ": ");
        line.add(Style::Notice, &blocking.description);
    }
    page.line(&line)
}

/// The innermost frames of a blocked thread; that to blame among them, or above them.
fn live_stack(
    stack: &[Frame],
    blocking: Option<&Blocking>,
    margin: &str,
    lines: &Lines<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let blamed = blocking.and_then(|blocking| blocking.frame.as_ref());
    let at =
        blamed.and_then(|blamed| stack.iter().rposition(|frame| frame.location == blamed.location));
    let mut hidden = stack.len().saturating_sub(MAX_LIVE_FRAMES);
    if let Some(at) = at.filter(|at| *at < hidden) {
        // A few around it, then the innermost.
        hidden = at;
    }
    if hidden > 0 {
        let words = format!("{margin}… {} further out", words::counted(hidden, "frame"));
        page.line(&Line::new().with(Style::Dim, &words))?;
    }
    let shown = stack.get(hidden..).unwrap_or_default();
    let Some((above, below)) =
        shown.split_at_checked(MAX_LIVE_FRAMES / 2).filter(|_| shown.len() > 2 * MAX_LIVE_FRAMES)
    else {
        return tree::stack(page, margin, shown, lines);
    };
    let skipped = below.len().saturating_sub(MAX_LIVE_FRAMES);
    tree::stack(page, margin, above, lines)?;
    let words = format!("{margin}… {}", words::counted(skipped, "frame"));
    page.line(&Line::new().with(Style::Dim, &words))?;
    tree::stack(page, margin, below.get(skipped..).unwrap_or_default(), lines)
}

/// Adds what is known of a pool: `4/4 workers busy, 12 queued: fetch ×4`.
pub fn executor(mut line: Line, pool: &Executor) -> Line {
    let limit = pool.max_workers.map(|limit| format!("/{limit}")).unwrap_or_default();
    let busy = match (pool.workers, pool.idle) {
        (Some(workers), Some(idle)) => Some(workers.saturating_sub(idle)),
        _ => None,
    };
    let is_full = busy.is_some() && busy >= pool.max_workers && pool.max_workers.is_some();
    let queued = pool.queued.unwrap_or(0);
    let style = match () {
        () if is_full && queued > 0 => Style::Alarm,
        () if is_full => Style::Notice,
        () => Style::Plain,
    };
    match (busy, pool.workers) {
        (Some(busy), _) => line.add(style, &format!("{busy}{limit} workers busy")),
        (None, Some(workers)) => line.add(style, &format!("{workers}{limit} workers")),
        (None, None) => line.add(Style::Plain, "workers not known"),
    }
    if queued > 0 {
        line.add(style, &format!(", {queued} queued"));
    }
    if pool.is_shut_down == Some(true) {
        line.add(Style::Notice, ", shut down: takes no more work");
    }
    let calls = merge::merge(pool.jobs.iter().filter_map(|job| job.function.as_deref()));
    let mut separator = ": ";
    for (call, number) in calls.iter().take(MAX_CALLS) {
        line.add(Style::Dim, separator);
        line.add(Style::Plain, call);
        if *number > 1 {
            line.add(Style::Dim, &format!(" ×{number}"));
        }
        separator = ", ";
    }
    if calls.len() > MAX_CALLS {
        line.add(Style::Dim, ", …");
    }
    line
}

/// What a process in a stage of its shutdown does.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Graceful => "is stopping gracefully",
        Stage::CancelAll => "has cancelled all tasks and waits for them to end",
        Stage::Asyncgens => "closes asynchronous generators",
        Stage::DefaultExecutor => "waits for the threads of the default executor",
        Stage::InterpreterThreads => "waits for threads to end",
    }
}

fn shutdown(snapshot: &Snapshot, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let Some(shutdown) = &snapshot.shutdown else { return Ok(()) };
    let mut line = Line::new().with(Style::Notice, "shutting down");
    line.add(Style::Plain, &format!(": {} {}", shutdown.by, stage(shutdown.stage)));
    let mut waited = Vec::new();
    if !shutdown.tasks.is_empty() {
        let names = TaskNames::of(snapshot).folded(shutdown.tasks.iter().copied());
        waited.push(format!("{}: {names}", words::counted(shutdown.tasks.len(), "task")));
    }
    if !shutdown.threads.is_empty() {
        let name = |tid: &i32| {
            let thread = snapshot.threads.iter().find(|thread| thread.tid == Some(*tid));
            thread.and_then(|thread| thread.name.clone()).unwrap_or_else(|| tid.to_string())
        };
        let names: Vec<String> = shutdown.threads.iter().map(name).collect();
        let names = super::names::fold(names.iter().map(String::as_str));
        waited.push(format!("{}: {names}", words::counted(shutdown.threads.len(), "thread")));
    }
    page.line_with(line, "    ", Style::Plain, &waited)?;
    if let Some(frame) = shutdown.frame.as_ref().filter(|f| !f.location.is_library()) {
        tree::stack(page, "    ", std::slice::from_ref(frame), lines)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiospy::memory::Address;
    use aiospy::snapshot::{BlockingKind, Job, Shutdown, Thread};

    use super::super::sample;
    use super::*;

    fn section_of(snapshot: &Snapshot, width: Option<usize>) -> String {
        let rates = "\n".repeat(29) + "        chunk = self.socket.recv(65536)\n";
        let source = sample::Sources::of(&[("/srv/orders/rates.py", &rates)]);
        let mut out = Vec::new();
        let lines = Lines::of(Some(&source));
        section(snapshot, &lines, &mut Page::new(&mut out, width, false)).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn pool(workers: u64, idle: u64, queued: u64) -> Executor {
        Executor {
            id: Some(Address(0x10)),
            name: Some("asyncio".to_owned()),
            workers: Some(workers),
            max_workers: Some(4),
            idle: Some(idle),
            queued: Some(queued),
            ..Executor::default()
        }
    }

    fn told(pool: &Executor) -> String {
        let mut out = Vec::new();
        Page::new(&mut out, None, false).line(&executor(Line::new(), pool)).unwrap();
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    #[test]
    fn blocked_loop_says_what_keeps_it_and_in_which_line() {
        let mut snapshot = sample::blocked(Vec::new());
        let peer = "tcp 10.0.0.7:52114 -> 10.0.0.9:5432";
        let frame = snapshot.threads[0].frames.last().cloned();
        snapshot.loops[0].blocking = Some(Blocking {
            kind: BlockingKind::Socket,
            description: format!("recv from {peer}"),
            fd: Some(7),
            peer: Some(peer.to_owned()),
            frame,
            task: None,
            thread: None,
            loop_id: None,
        });
        snapshot.loops[0].executor = Some(pool(4, 0, 12));
        let expected = [
            "loop 1  BLOCKED for 2.31 s in task update-rates (callback 3 of 7)",
            "        12 ready  3 timers  late by at least 2.21 s  thread 4711 MainThread",
            "        _UnixSelectorEventLoop",
            "        blocked in socket: recv from tcp 10.0.0.7:52114 -> 10.0.0.9:5432",
            "        sleeping in recvfrom fd 7",
            "        update_rates             /srv/orders/rates.py:44",
            "        RatesClient.fetch        /srv/orders/rates.py:25",
            "        RatesClient.read_answer  /srv/orders/rates.py:30",
            "              30 │ chunk = self.socket.recv(65536)",
            "        executor: 4/4 workers busy, 12 queued",
            "",
            "",
        ];
        assert_eq!(section_of(&snapshot, Some(80)), expected.join("\n"));

        // A finding has said it all.
        let mut finding = sample::finding(
            aiospy::snapshot::Code::LoopBlocked,
            aiospy::snapshot::Severity::Critical,
            "held",
            &[],
        );
        finding.evidence =
            vec![sample::fact("", Some("RatesClient.read_answer /srv/orders/rates.py:30"))];
        snapshot.findings = Some(vec![finding]);
        let text = section_of(&snapshot, Some(80));
        assert!(
            text.contains("blocked in socket") && !text.contains("RatesClient.fetch"),
            "{text}"
        );
        assert!(text.contains("        its stack is above, with the finding\n"), "{text}");
    }

    #[test]
    fn frame_to_blame_is_shown_however_deep_the_stack_below_it() {
        let mut snapshot = sample::blocked(Vec::new());
        let own = "RatesClient.read_answer /srv/orders/rates.py:30";
        let deep: Vec<String> = (0..50)
            .map(|n| match n {
                20 => own.to_owned(),
                n => format!("f{n} /usr/lib/python3.13/ssl.py:{}", n + 1),
            })
            .collect();
        let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
        snapshot.threads[0].frames = sample::frames(&deep);
        let frame = snapshot.threads[0].frames.get(20).cloned();
        snapshot.loops[0].blocking = Some(Blocking {
            kind: BlockingKind::Cpu,
            description: String::new(),
            fd: None,
            peer: None,
            frame,
            task: None,
            thread: None,
            loop_id: None,
        });
        let text = section_of(&snapshot, None);
        assert!(text.contains("        blocked in cpu\n"), "{text}");
        assert!(text.contains("        … 20 frames further out\n        RatesClient"), "{text}");
        assert!(text.contains("              30 │ chunk = self.socket.recv(65536)\n"), "{text}");
        assert!(text.contains("        … 21 frames\n") && text.contains("f49"), "{text}");
        assert!(text.lines().count() < 20, "{text}");
    }

    #[test]
    fn pools_say_how_busy_they_are_and_with_what() {
        assert_eq!(told(&pool(4, 0, 12)), "4/4 workers busy, 12 queued");
        assert_eq!(told(&pool(2, 2, 0)), "0/4 workers busy");
        assert_eq!(told(&Executor { idle: None, ..pool(2, 0, 0) }), "2/4 workers");
        assert_eq!(told(&Executor::default()), "workers not known");
        let job = |function: &str| Job {
            function: Some(function.to_owned()),
            elapsed: Some(Duration::from_secs(3)),
            ..Job::default()
        };
        let calls = ["fetch", "save", "fetch", "fetch", "a", "b"].map(job);
        let busy = Executor { jobs: calls.into(), is_shut_down: Some(true), ..pool(4, 0, 0) };
        assert_eq!(
            told(&busy),
            "4/4 workers busy, shut down: takes no more work: fetch ×3, save, a, …"
        );
    }

    #[test]
    fn pools_that_are_no_loops_default_are_listed() {
        let mut snapshot = sample::snapshot(Vec::new());
        snapshot.loops[0].executor = Some(pool(1, 0, 0));
        snapshot.executors = vec![pool(1, 0, 0)];
        snapshot.executors.extend((0..10).map(|n| Executor {
            id: Some(Address(0x100 + n)),
            name: (n > 0).then(|| format!("pool-{n}")),
            ..pool(1, 1, 0)
        }));
        let text = section_of(&snapshot, None);
        assert_eq!(text.matches("workers busy").count(), 1 + 8, "{text}");
        assert!(text.contains("pool  unnamed: 0/4 workers busy\npool  pool-1: 0/4"), "{text}");
        assert!(text.contains("… 2 more pools\n"), "{text}");
    }

    #[test]
    fn shutdown_says_its_stage_and_what_it_waits_for() {
        let mut snapshot = sample::snapshot(vec![
            sample::task(1, "audit-log", &["ship app.py:1"], &[]),
            sample::task(2, "relay", &["relay app.py:1"], &[]),
        ]);
        let shutdown = |stage, tasks: &[u64], threads: &[i32]| Shutdown {
            stage,
            by: "asyncio.run".to_owned(),
            loop_id: Some(sample::LOOP),
            task: None,
            frame: None,
            tasks: tasks.iter().copied().map(sample::id).collect(),
            threads: threads.to_vec(),
            grounds: None,
        };
        snapshot.shutdown = Some(shutdown(Stage::CancelAll, &[1, 2], &[]));
        let text = section_of(&snapshot, Some(80));
        assert!(
            text.ends_with(
                "\nshutting down: asyncio.run has cancelled all tasks and waits for them to end\n    \
                 2 tasks: audit-log, relay\n\n"
            ),
            "{text}"
        );
        snapshot.threads.push(Thread {
            tid: Some(4712),
            name: Some("asyncio_0".to_owned()),
            ..Thread::default()
        });
        snapshot.shutdown = Some(shutdown(Stage::DefaultExecutor, &[], &[4712, 4713]));
        let text = section_of(&snapshot, None);
        assert!(
            text.ends_with("of the default executor  2 threads: asyncio_0, 4713\n\n"),
            "{text}"
        );
    }
}
