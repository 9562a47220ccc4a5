//! `shutdown-stuck`: the process is on its way out and something holds it.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::{Context, words};
use crate::snapshot::{Code, Severity, Shutdown, Stage, Sureness, Task, Thread};

/// How many threads are shown with their whole stack.
const MAX_STACKS: usize = 3;

pub(super) fn find(context: &Context<'_>, out: &mut Drafts) {
    let Some(shutdown) = &context.now.shutdown else { return };
    if context.gap.is_none() {
        out.want_second_look();
    } else if !has_lasted(context, shutdown) {
        return;
    }
    out.add(report(context, shutdown));
}

/// Whether what it waits for was waited for at the first look.
fn has_lasted(context: &Context<'_>, now: &Shutdown) -> bool {
    let first = context.looks.first.and_then(|first| first.shutdown.as_ref());
    first.is_some_and(|before| {
        let is_same = before.stage == now.stage && before.loop_id == now.loop_id;
        let says_nothing = before.tasks.is_empty() && before.threads.is_empty();
        let has_task = now.tasks.iter().any(|id| before.tasks.contains(id));
        let has_thread = now.threads.iter().any(|tid| before.threads.contains(tid));
        is_same && (has_task || has_thread || says_nothing)
    })
}

fn report(context: &Context<'_>, shutdown: &Shutdown) -> Draft {
    let tasks: Vec<&Task> = shutdown.tasks.iter().filter_map(|id| context.task(*id)).collect();
    let threads: Vec<&Thread> =
        shutdown.threads.iter().filter_map(|tid| context.thread(*tid)).collect();
    let by = &shutdown.by;
    let title = match shutdown.stage {
        Stage::Graceful => {
            let what = held_by(&tasks, &threads, "connections and requests");
            format!("{by} is stopping and waits for {what}")
        }
        Stage::CancelAll => {
            let what = held_by(&tasks, &[], "tasks");
            format!("{by} has cancelled all tasks and waits for {what} to end")
        }
        Stage::Asyncgens => {
            let open = generators(context, shutdown).count();
            format!(
                "{by} closes {} and does not come to an end",
                match open {
                    0 => "asynchronous generators".to_owned(),
                    open => words::count(open, "asynchronous generator"),
                }
            )
        }
        Stage::DefaultExecutor => {
            let what = held_by(&[], &threads, "threads");
            format!("{by} closes the default executor and waits for {what} to end")
        }
        Stage::InterpreterThreads => {
            let what = held_by(&[], &threads, "threads that are no daemons");
            format!("the interpreter is ending and waits for {what}")
        }
    };
    let mut lines = vec![format!("the stage is {}", shutdown.stage.as_str())];
    lines.extend(
        shutdown
            .frame
            .as_ref()
            .map(|frame| format!("it waits at {}", words::long(&frame.location))),
    );
    lines.extend(words::lines(tasks.iter().copied(), words::wait_line));
    for (at, thread) in threads.iter().take(words::MAX_NAMED).enumerate() {
        lines.push(words::thread_line(thread));
        if at < MAX_STACKS {
            lines
                .extend(words::stack(&thread.frames).into_iter().map(|line| format!("    {line}")));
        }
    }
    if let Some(others) = threads.len().checked_sub(words::MAX_NAMED).filter(|more| *more > 0) {
        lines.push(format!("and {} more", words::count(others, "thread")));
    }
    if shutdown.stage == Stage::Asyncgens {
        lines.extend(
            generators(context, shutdown).take(words::MAX_NAMED).map(|open| {
                format!("{} is open{}", open.name, words::at_long(open.place.as_deref()))
            }),
        );
    }
    if lines.len() == 1 {
        lines.push("what it waits for was not found".to_owned());
    }
    Draft::new(Code::ShutdownStuck, Severity::Critical, Sureness::Read, title)
        .on_loop(shutdown.loop_id)
        .blames(tasks.iter().map(|task| Node::Task(task.id)))
        .blames(shutdown.threads.iter().map(|tid| Node::Thread(*tid)))
        .blames(closing(context, shutdown).map(|open| Node::Object(open.id)))
        .affects(tasks.len() + threads.len())
        .tasks(tasks)
        .evidence(lines)
        .advice(advice(shutdown.stage))
}

fn generators<'c>(
    context: &'c Context<'_>,
    shutdown: &'c Shutdown,
) -> impl Iterator<Item = &'c crate::snapshot::OpenGenerator> {
    let is_here = |loop_id| shutdown.loop_id.is_none() || loop_id == shutdown.loop_id;
    context.now.open_generators.iter().filter(move |open| is_here(open.loop_id))
}

/// The generators that it waits for.
fn closing<'c>(
    context: &'c Context<'_>,
    shutdown: &'c Shutdown,
) -> impl Iterator<Item = &'c crate::snapshot::OpenGenerator> {
    let is_at_them = shutdown.stage == Stage::Asyncgens;
    generators(context, shutdown).filter(move |_| is_at_them)
}

fn held_by(tasks: &[&Task], threads: &[&Thread], otherwise: &str) -> String {
    match (tasks.len(), threads.len()) {
        (0, 0) => otherwise.to_owned(),
        (0, 1) => threads.iter().map(|thread| words::thread(thread)).collect(),
        (0, many) => words::count(many, "thread"),
        (1..=3, _) => words::names(tasks.iter().copied(), 3),
        (many, _) => words::count(many, "task"),
    }
}

fn advice(stage: Stage) -> &'static str {
    match stage {
        Stage::Graceful => {
            "Let endless responses end when the server stops, and give the stop a time limit \
             (uvicorn: `--timeout-graceful-shutdown`)."
        }
        Stage::CancelAll => {
            "Each task has to end when `CancelledError` is thrown into it: let the exception pass, \
             and do not wait without a limit while cleaning up."
        }
        Stage::Asyncgens => {
            "An asynchronous generator has to end when it is closed: do not wait without a limit \
             in its `finally`, and close it with `contextlib.aclosing` where it is used."
        }
        Stage::DefaultExecutor => {
            "A call in a thread cannot be cancelled: give it a time limit of its own, or a sign \
             to stop that it looks for."
        }
        Stage::InterpreterThreads => {
            "Tell these threads to stop before the program ends, or start them with `daemon=True`."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, ids, pool, task, thread};

    fn at(stage: Stage, tasks: &[u64], threads: &[i32]) -> Scene {
        let shutdown = Shutdown {
            stage,
            by: "asyncio.run".to_owned(),
            loop_id: Some(LOOP),
            frame: None,
            tasks: ids(tasks),
            threads: threads.to_vec(),
        };
        Scene::new().and(|snapshot| {
            snapshot.shutdown = Some(shutdown);
            snapshot.threads.extend(threads.iter().map(|tid| thread(*tid, &["fetch", "recv"])));
        })
    }

    #[test]
    fn a_server_that_waits_for_an_endless_response() {
        let scene = at(Stage::Graceful, &[1], &[]).with([task(1).sleeps(1000)]);
        for diagnosis in [scene.once(), scene.twice()] {
            let finding = diagnosis.only();
            assert_eq!(finding.severity, Severity::Critical);
            assert_eq!(finding.title, "asyncio.run is stopping and waits for \"t1\"");
            assert_eq!(finding.because_of, None);
        }
    }

    #[test]
    fn a_shutdown_that_comes_on_is_healthy() {
        let first = at(Stage::CancelAll, &[1], &[]).with([task(1).sleeps(10).handling()]).before();
        assert!(first.once().wants_second_look);
        at(Stage::DefaultExecutor, &[], &[]).turned().after(&first).assert_silent();
        let next = at(Stage::CancelAll, &[2], &[]).with([task(2).sleeps(10).handling()]).turned();
        next.after(&first).assert_no_warning();
    }

    #[test]
    fn a_job_that_does_not_end_is_the_culprit() {
        let scene = at(Stage::DefaultExecutor, &[], &[200]).and(|snapshot| {
            snapshot.loops[0].executor = Some(pool(4, 0, &[200]));
        });
        let diagnosis = scene.twice();
        assert_eq!(diagnosis.codes(), [Code::ExecutorJobStuck, Code::ShutdownStuck]);
        let finding = diagnosis.of(Code::ShutdownStuck);
        assert!(finding.title.contains("thread 200"), "{}", finding.title);
        assert_eq!(finding.because_of, Some(Code::ExecutorJobStuck));
    }

    #[test]
    fn threads_that_hold_the_interpreter_are_shown() {
        let finding = at(Stage::InterpreterThreads, &[], &[200, 201]).twice();
        let finding = finding.of(Code::ShutdownStuck);
        assert!(finding.evidence.iter().any(|line| line.contains("in recv")), "{finding:#?}");
    }
}
