//! Whole reports, and the forest in all its shapes.

use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Cancellation, Cgroup, Code, Consistency, Context, Finding, LoopState, MemoryLimit, Pressure,
    Problem, Quota, Severity, Stalls, Task, TaskState, ThreadState, Trace, Variable, Wait,
};

use super::sample::*;
use super::{Shape, View};

const READLINE: [&str; 2] =
    ["Prices.refresh /srv/orders/prices.py:31", "StreamReader.readline asyncio/streams.py:565"];
const ORDER: [&str; 3] = [
    "answer_order /srv/orders/web.py:12",
    "Prices.of /srv/orders/prices.py:40",
    "Lock.acquire asyncio/locks.py:110",
];
const WORKER: [&str; 2] = ["worker /srv/orders/pack.py:8", "Queue.get asyncio/queues.py:186"];

fn service() -> Vec<Task> {
    let mut tasks = vec![
        task(0, "main", &["main /srv/orders/__main__.py:62"], &[]),
        task(1, "refresh-prices", &READLINE, &[0]),
        task(2, "audit-log", &["AuditLog.ship /srv/orders/audit.py:20"], &[0]),
    ];
    tasks[2].cancellation = Some(unheeded(1));
    tasks.extend((0..6).map(|n| task(10 + n, &format!("order-{}", 101 + n), &ORDER, &[0])));
    tasks.extend((0..4).map(|n| task(20 + n, &format!("worker-{n}"), &WORKER, &[])));
    tasks
}

fn lines(expected: &[&str]) -> String {
    let mut text = expected.join("\n");
    text.push('\n');
    text
}

#[test]
fn report_of_a_quiet_service() {
    assert_eq!(
        text(&snapshot(service()), TREE, Some(80)),
        lines(&[
            "process 4711  python3 -m orders --port 8080",
            "CPython 3.13.0 · up 3 h 12 min",
            "",
            "loop 1  polling for 4.20 s",
            "        0 ready  3 timers  thread 4711 MainThread  _UnixSelectorEventLoop",
            "",
            "13 tasks: 13 pending",
            "cancellations: 1 asked and going on",
            "",
            "(T) main  pending",
            "│   main  /srv/orders/__main__.py:62",
            "├── (T) audit-log  pending  cancel requested ×1, goes on",
            "│       AuditLog.ship  /srv/orders/audit.py:20",
            "├── (T) order-{101..106}  ×6  pending",
            "│       answer_order  /srv/orders/web.py:12",
            "│       Prices.of     /srv/orders/prices.py:40",
            "│       Lock.acquire  asyncio/locks.py:110",
            "└── (T) refresh-prices  pending",
            "        Prices.refresh         /srv/orders/prices.py:31",
            "        StreamReader.readline  asyncio/streams.py:565",
            "(T) worker-{0..3}  ×4  pending",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "",
            "exact: no thread ran while it was read · 12.3 ms · never paused",
        ])
    );
}

#[test]
fn limits_are_told_where_they_matter() {
    let second = |cgroup: Cgroup| {
        let mut snapshot = snapshot(service());
        snapshot.cgroup = Some(cgroup);
        let text = text(&snapshot, TREE, Some(120));
        text.lines().nth(2).unwrap_or_default().to_owned()
    };
    let quota = |throttled| Quota {
        group: "/pod".into(),
        quota: Duration::from_millis(20),
        period: Duration::from_millis(100),
        periods: Some(100),
        throttled: Some(throttled),
        throttled_for: None,
    };
    let memory = |used, kills| MemoryLimit { limit: 256_000_000, used, oom_kills: Some(kills) };
    let stalls = |some_percent| Some(Stalls { some_percent, full_percent: None });
    let at_rest = Cgroup {
        quotas: Some(vec![quota(4)]),
        frozen: Some(false),
        memory: Some(memory(200_000_000, 0)),
        pressure: Pressure { cpu: stalls(49.0), memory: stalls(9.0), io: stalls(29.0) },
    };
    assert_eq!(second(at_rest), "");
    let in_need = Cgroup {
        quotas: Some(vec![quota(4), quota(71)]),
        memory: Some(memory(241_000_000, 2)),
        pressure: Pressure { cpu: stalls(98.0), ..Pressure::default() },
        ..Cgroup::default()
    };
    assert_eq!(
        second(in_need),
        "limits: 0.2 cores: stopped in 71 % of all periods · memory 241 MB of 256 MB · 2 \
         processes killed at the memory limit"
    );
    let waiting = Cgroup {
        pressure: Pressure { cpu: stalls(51.0), memory: stalls(10.0), io: stalls(30.0) },
        frozen: Some(true),
        ..Cgroup::default()
    };
    assert_eq!(
        second(waiting),
        "limits: waits 10 % of the time for memory, 30 % for disks, 51 % for a processor · frozen"
    );
}

#[test]
fn blocked_loop_says_for_how_long_by_whom_and_where() {
    let rates =
        ["update_rates /srv/orders/rates.py:44", "RatesClient.fetch /srv/orders/rates.py:25"];
    let mut tasks = vec![task(1, "beat", &WORKER, &[]), task(2, "update-rates", &rates, &[])];
    tasks[1].state = Some(TaskState::Running);
    assert_eq!(
        text(&blocked(tasks), TREE, Some(80)),
        lines(&[
            "process 4711  python3 -m orders --port 8080",
            "CPython 3.13.0 · up 3 h 12 min",
            "",
            "loop 1  BLOCKED for 2.31 s in task update-rates (callback 3 of 7)",
            "        12 ready  3 timers  late by at least 2.21 s  thread 4711 MainThread",
            "        _UnixSelectorEventLoop",
            "        sleeping in recvfrom fd 7 tcp 10.0.0.7:52114 -> 10.0.0.9:5432",
            "        update_rates             /srv/orders/rates.py:44",
            "        RatesClient.fetch        /srv/orders/rates.py:25",
            "        RatesClient.read_answer  /srv/orders/rates.py:30",
            "",
            "2 tasks: 1 running, 1 pending",
            "",
            "(T) update-rates  running",
            "    update_rates       /srv/orders/rates.py:44",
            "    RatesClient.fetch  /srv/orders/rates.py:25",
            "(T) beat  pending",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "",
            "same step: one callback ran all the while it was read · 12.3 ms · never paused",
        ])
    );
}

#[test]
fn stopped_process_is_not_taken_for_a_quiet_one() {
    let mut snapshot = snapshot(service());
    snapshot.threads[0].state = Some(ThreadState::Stopped);
    let report = text(&snapshot, TREE, Some(80));
    assert!(
        report.contains("loop 1  polling for 4.20 s  STOPPED by a signal (kill -CONT"),
        "{report}"
    );
}

#[test]
fn flat_gives_one_block_for_each_task() {
    let mut tasks =
        vec![task(1, "parent", &["parent app.py:3"], &[]), task(2, "child", &WORKER, &[1])];
    tasks[1].frames[0].locals = Some(vec![("queue".into(), "<Queue\n>".to_owned())]);
    tasks[1].cancellation =
        Some(Cancellation { must_cancel: true, requested: Some(2), ..Cancellation::default() });
    let report = text(&snapshot(tasks), View { shape: Shape::Flat, ..View::default() }, None);
    let blocks = report.split_once("not told yet\n\n").unwrap().1;
    assert_eq!(
        blocks,
        lines(&[
            "task child  pending  0x7f61b0000200",
            "    coroutine     worker",
            "    cancellation  cancel requested ×2, must cancel",
            "    awaited by    parent (0x7f61b0000100)",
            "    worker     /srv/orders/pack.py:8",
            "        queue = <Queue\\n>",
            "    Queue.get  asyncio/queues.py:186",
            "",
            "task parent  pending  0x7f61b0000100",
            "    coroutine     parent",
            "    parent  app.py:3",
            "",
            "exact: no thread ran while it was read · 12.3 ms · never paused",
        ])
    );
}

#[test]
fn flat_gives_the_ids_of_a_context_and_on_demand_its_variables() {
    let mut tasks = vec![task(1, "refresh", &["refresh app.py:3"], &[])];
    let variable =
        |value: Option<&str>| Variable { name: "tenant".into(), value: value.map(str::to_owned) };
    let context = Context {
        trace: Some(Trace { trace_id: "0af7651916cd43dd".into(), ..Trace::default() }),
        request_id: Some("r-17".into()),
        variables: vec![variable(None)],
        ..Context::default()
    };
    tasks[0].context = Some(Arc::new(context.clone()));
    let flat = |tasks: &[Task], is_verbose| {
        let view = View { shape: Shape::Flat, is_verbose, ..View::default() };
        text(&snapshot(tasks.to_vec()), view, None)
    };
    let ids = "    context       trace 0af7651916cd43dd, request id r-17\n";
    let plain = flat(&tasks, false);
    assert!(plain.contains(&format!("{ids}    refresh  app.py:3\n")), "{plain}");
    let verbose = flat(&tasks, true);
    assert!(verbose.contains(&format!("{ids}    variables     tenant\n")), "{verbose}");
    let variables = vec![variable(Some("'acme'"))];
    tasks[0].context = Some(Arc::new(Context { variables, ..Context::default() }));
    let with_values = flat(&tasks, false);
    assert!(with_values.contains("\n    variables     tenant = 'acme'\n"), "{with_values}");
    assert!(!with_values.contains("context  "), "{with_values}");
}

#[test]
fn flat_says_what_each_task_waits_for() {
    let gather = Wait::Gather(others(&(2..11).collect::<Vec<_>>()));
    let waiter = waits(task(1, "all", &["main app.py:3"], &[]), gather, "gather, 9 of 9");
    let mut tasks = vec![waiter];
    tasks.extend((2..11).map(|n| task(n, &format!("w-{n}"), &WORKER, &[1])));
    let report = text(&snapshot(tasks), View { shape: Shape::Flat, ..View::default() }, None);
    assert!(
        report.contains(
            "task all  pending  0x7f61b0000100\n    coroutine     main\n    waits for     gather, \
             9 of 9\n    tasks         w-{2..9}, … 1 more\n    main  app.py:3\n"
        ),
        "{report}"
    );
}

#[test]
fn flat_names_the_findings_that_blame_a_task() {
    let report = text(&bank(), View { shape: Shape::Flat, ..View::default() }, None);
    let block = report.split_once("task ada-to-bob").unwrap().1.split_once("\n\n").unwrap().0;
    assert!(
        block.contains("    finding       deadlock\n    finding       lock-convoy\n"),
        "{block}"
    );
    assert!(block.contains("    waits for     lock second.lock, 1st of 11 waiting, held by bob"));
}

#[test]
fn ten_thousand_like_tasks_take_a_few_lines() {
    let mut tasks = vec![task(0, "main", &["main app.py:1"], &[])];
    for n in 0..10_000 {
        tasks.push(task(3 * n + 1, &format!("guest-{n}"), &["serve app.py:2"], &[0]));
        tasks.push(task(3 * n + 2, &format!("Task-{}", 2 * n), &["send app.py:3"], &[3 * n + 1]));
        tasks.push(task(
            3 * n + 3,
            &format!("Task-{}", 2 * n + 1),
            &["ping app.py:4"],
            &[3 * n + 1],
        ));
    }
    assert_eq!(
        forest(&snapshot(tasks), Some(80)),
        lines(&[
            "(T) main  pending",
            "│   main  app.py:1",
            "└── (T) guest-{0..9999}  ×10,000  pending",
            "    │   serve  app.py:2",
            "    ├── (T) Task-{0..19998..2}  ×10,000  pending",
            "    │       send  app.py:3",
            "    └── (T) Task-{1..19999..2}  ×10,000  pending",
            "            ping  app.py:4",
        ])
    );
}

#[test]
fn tasks_that_differ_in_anything_are_not_bundled() {
    let mut tasks: Vec<Task> = (0..8).map(|n| task(n, &format!("t{n}"), &WORKER, &[])).collect();
    tasks[1].state = Some(TaskState::Ready);
    tasks[2].cancellation = Some(unheeded(1));
    tasks[3].cancellation = Some(unheeded(2));
    tasks[4].frames.pop();
    tasks[5].is_torn = true;
    tasks.push(task(9, "child", &WORKER, &[6]));
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) t1  ready",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "(T) t2  pending  cancel requested ×1, goes on",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "(T) t3  pending  cancel requested ×2, goes on",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "(T) t{0,7}  ×2  pending",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "(T) t4  pending",
            "    worker  /srv/orders/pack.py:8",
            "(T) t5  pending  changed while it was read",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
            "(T) t6  pending",
            "│   worker     /srv/orders/pack.py:8",
            "│   Queue.get  asyncio/queues.py:186",
            "└── (T) child  pending",
            "        worker     /srv/orders/pack.py:8",
            "        Queue.get  asyncio/queues.py:186",
        ])
    );
}

#[test]
fn task_awaited_by_two_is_shown_once() {
    let tasks = vec![
        task(1, "a", &["a app.py:1"], &[]),
        task(2, "b", &["b app.py:2"], &[]),
        task(3, "shared", &["s app.py:3"], &[1, 2]),
        task(4, "below", &["t app.py:4"], &[3]),
    ];
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) a  pending",
            "│   a  app.py:1",
            "└── (T) shared  pending  awaited by 2 tasks",
            "    │   s  app.py:3",
            "    └── (T) below  pending",
            "            t  app.py:4",
            "(T) b  pending",
            "│   b  app.py:2",
            "└── (T) shared  ↑ see above",
        ])
    );
}

#[test]
fn like_tasks_that_share_one_are_bundled_and_share_it() {
    let mut tasks = vec![task(0, "hub", &["hub app.py:9"], &[])];
    tasks[0].awaited_by = (1..=100).map(id).collect();
    tasks.extend((1..=100).map(|n| task(n, &format!("w{n}"), &["w app.py:1"], &[])));
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) w{1..100}  ×100  pending",
            "│   w  app.py:1",
            "└── (T) hub  pending  awaited by 100 tasks",
            "        hub  app.py:9",
        ])
    );
}

#[test]
fn task_awaited_on_two_levels_is_shown_where_it_comes_first() {
    // a awaits x and y; x awaits y.
    let tasks = vec![
        task(1, "a", &["a app.py:1"], &[]),
        task(2, "x", &["x app.py:2"], &[1]),
        task(3, "y", &["y app.py:3"], &[1, 2]),
    ];
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) a  pending",
            "│   a  app.py:1",
            "├── (T) x  pending",
            "│   │   x  app.py:2",
            "│   └── (T) y  pending  awaited by 2 tasks",
            "│           y  app.py:3",
            "└── (T) y  ↑ see above",
        ])
    );
}

#[test]
fn cycles_end_and_say_so() {
    let tasks = vec![
        task(1, "a", &["a app.py:1"], &[2]),
        task(2, "b", &["b app.py:2"], &[1]),
        task(3, "selfish", &["s app.py:3"], &[3]),
        task(4, "below", &["t app.py:4"], &[2]),
    ];
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) a  pending",
            "│   a  app.py:1",
            "└── (T) b  pending",
            "    │   b  app.py:2",
            "    ├── (T) a  cycle: this wait leads back to where it began",
            "    └── (T) below  pending",
            "            t  app.py:4",
            "(T) selfish  pending",
            "│   s  app.py:3",
            "└── (T) selfish  cycle: this wait leads back to where it began",
        ])
    );
}

#[test]
fn like_cycles_are_bundled_and_waiters_hang_above() {
    let mut tasks = Vec::new();
    for n in 0..1000 {
        tasks.push(task(2 * n, &format!("a{n}"), &["a app.py:1"], &[2 * n + 1]));
        tasks.push(task(2 * n + 1, &format!("b{n}"), &["b app.py:2"], &[2 * n]));
    }
    tasks.push(task(9000, "victim", &["v app.py:3"], &[]));
    tasks[0].awaited_by.push(id(9000));
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) victim  pending",
            "│   v  app.py:3",
            "└── (T) a0  pending  awaited by 2 tasks",
            "    │   a  app.py:1",
            "    └── (T) b0  pending",
            "        │   b  app.py:2",
            "        └── (T) a0  cycle: this wait leads back to where it began",
            "(T) a{1..999}  ×999  pending",
            "│   a  app.py:1",
            "└── (T) b{1..999}  ×999  pending",
            "    │   b  app.py:2",
            "    └── (T) a{1..999}  ×999  cycle: this wait leads back to where it began",
        ])
    );
}

#[test]
fn deep_chains_stay_on_the_page() {
    let chain = (0..50_000_u64).map(|n| {
        let above: &[u64] = if n == 0 { &[] } else { &[n - 1] };
        task(n, &format!("t{n}"), &["f app.py:1"], above)
    });
    let drawn = forest(&snapshot(chain.collect()), Some(80));
    assert_eq!(drawn.lines().count(), 100_000);
    assert!(drawn.lines().all(|line| line.chars().count() <= 80));
    assert!(drawn.contains("(T) [49999 deep] t49999  pending\n"));
}

#[test]
fn running_things_come_first_with_what_leads_to_them() {
    let mut tasks = vec![
        task(1, "a", &["a app.py:1"], &[]),
        task(2, "b", &["b app.py:2"], &[]),
        task(3, "c", &["c app.py:3"], &[2]),
    ];
    tasks[2].state = Some(TaskState::Running);
    let drawn = forest(&snapshot(tasks), None);
    assert!(drawn.starts_with("(T) b  pending\n"), "{drawn}");
}

#[test]
fn several_loops_have_a_section_each() {
    let mut tasks = vec![
        task(1, "one", &["f app.py:1"], &[]),
        task(2, "two", &["f app.py:1"], &[]),
        task(3, "lost", &["f app.py:1"], &[]),
        task(4, "nowhere", &["f app.py:1"], &[]),
    ];
    let second = Address(0x7f00_0000_2000);
    tasks[1].loop_id = Some(second);
    tasks[2].loop_id = Some(Address(0x7f00_0000_3000));
    tasks[3].loop_id = None;
    let mut snapshot = snapshot(tasks);
    let mut other = snapshot.loops[0].clone();
    other.id = second;
    other.state = Some(LoopState::Stopped);
    snapshot.loops.push(other);
    assert_eq!(
        forest(&snapshot, None),
        lines(&[
            "tasks of loop 1",
            "(T) one  pending",
            "    f  app.py:1",
            "",
            "tasks of loop 2",
            "(T) two  pending",
            "    f  app.py:1",
            "",
            "tasks of loop 0x7f0000003000, which no thread runs",
            "(T) lost  pending",
            "    f  app.py:1",
            "",
            "tasks whose loop is not known",
            "(T) nowhere  pending",
            "    f  app.py:1",
        ])
    );
}

#[test]
fn names_cannot_drive_the_terminal() {
    let name = "x\x1b]0;owned\x07\u{202e}\n(T) fake";
    let mut tasks = vec![task(1, name, &["f\x1b[2J app.py:1"], &[])];
    tasks.push(task(2, "a\r1", &["g a\u{9b}.py:1"], &[]));
    tasks.push(task(3, "a\r2", &["g a\u{9b}.py:1"], &[]));
    tasks[0].cancellation =
        Some(Cancellation { message: Some("\x1b[31m".to_owned()), ..unheeded(1) });
    let mut snapshot = snapshot(tasks);
    snapshot.process.cmdline.push("\x1b[2J".to_owned());
    snapshot.loops[0].class = "a.\x1bLoop".to_owned();
    snapshot.threads[0].name = Some("\x1b(0".to_owned());
    snapshot.problems.push(Problem {
        place: "\x1b".to_owned(),
        wanted: "\x1b".to_owned(),
        cause: "\u{2066}".to_owned(),
    });
    let mut evil = finding(Code::Deadlock, Severity::Critical, "\x1b[2J\nok: all is well", &[1]);
    evil.evidence = vec![fact("\x1b[A", Some("f\r app.py:1"))];
    evil.advice = "\u{9b}2J".to_owned();
    snapshot.findings = Some(vec![
        evil.clone(),
        Finding { because_of: Some(aiospy::snapshot::FindingId(1)), ..evil },
    ]);
    let parked = &mut snapshot.tasks[1];
    *parked = waits(parked.clone(), lock(&[1]), "lock \x1b[31m\n");
    let source =
        Sources::of(&[("app.py", "\x1b]0;owned\x07\n"), ("a\u{9b}.py", "\u{202e}x\x0c\n")]);
    for shape in [Shape::Screen, Shape::Tree, Shape::Full, Shape::Flat] {
        let view =
            View { shape, has_threads: true, is_verbose: true, source: Some(&source), ..TREE };
        let report = text(&snapshot, view, None);
        let line = if matches!(shape, Shape::Screen | Shape::Tree) {
            "\\x1b]0;owned"
        } else {
            "1 │ \\x1b]0;owned\\x07\n"
        };
        assert!(report.contains(line), "{report}");
        assert!(!report.lines().any(|line| line.starts_with("ok")), "{report}");
        assert!(!report.chars().any(|c| c != '\n' && crate::io::page::is_unsafe(c)), "{report}");
        assert!(report.contains("x\\x1b]0;owned\\x07\\u202e\\n(T) fake"), "{report}");
    }
    let mut out = Vec::new();
    super::brief(&snapshot, None, &mut super::Page::new(&mut out, None, false)).unwrap();
    let brief = String::from_utf8(out).unwrap();
    assert_eq!(brief.lines().count(), 3, "{brief}");
    assert!(!brief.chars().any(|c| c != '\n' && crate::io::page::is_unsafe(c)), "{brief}");
}

#[test]
fn cancellations_are_told_in_words() {
    let mut task = task(1, "t", &WORKER, &[]);
    let none = Cancellation::default;
    for (cancellation, expected) in [
        (Cancellation { requested: Some(1), ..none() }, "cancel requested ×1, goes on"),
        (
            Cancellation { requested: Some(1), must_cancel: true, ..none() },
            "cancel requested ×1, must cancel",
        ),
        (Cancellation { must_cancel: true, ..none() }, "must cancel"),
        (Cancellation { in_flight: true, ..none() }, "cancel in flight"),
        (
            Cancellation { requested: Some(3), handling: Some(1), ..none() },
            "cancel requested ×3, handling CancelledError in Queue.get",
        ),
        (Cancellation { handling: Some(9), ..none() }, "handling CancelledError"),
        (
            Cancellation { in_flight: true, message: Some("bye".into()), ..none() },
            "cancel in flight, message “bye”",
        ),
        (Cancellation { requested: Some(0), ..none() }, ""),
    ] {
        task.cancellation = Some(cancellation);
        assert_eq!(super::words::cancellation(&task).join(", "), expected);
    }
    task.cancellation = Some(unheeded(1));
    task.state = Some(TaskState::Cancelled);
    assert_eq!(super::words::cancellation(&task), ["cancel requested ×1"]);
}

#[test]
fn what_does_not_fit_goes_to_the_next_line_or_is_cut() {
    let mut tasks = vec![task(1, "a-task-with-a-name", &ORDER, &[])];
    tasks[0].cancellation = Some(Cancellation { handling: Some(0), ..unheeded(1) });
    tasks.extend((2..12).map(|n| {
        task(n, &format!("{}{n}", "long".repeat(usize::try_from(n).unwrap())), &WORKER, &[])
    }));
    let drawn = forest(&snapshot(tasks), Some(40));
    assert_eq!(
        drawn,
        lines(&[
            "(T) a-task-with-a-name  pending",
            "    cancel requested ×1",
            "    handling CancelledError in answer_o…",
            "    answer_order  /srv/orders/web.py:12",
            "    Prices.of     …/orders/prices.py:40",
            "    Lock.acquire  asyncio/locks.py:110",
            "(T) longlong2, longlonglo…  ×10  pending",
            "    worker     /srv/orders/pack.py:8",
            "    Queue.get  asyncio/queues.py:186",
        ])
    );
}

#[test]
fn nothing_read_is_not_said_to_be_nothing() {
    let mut snapshot = snapshot(Vec::new());
    assert!(text(&snapshot, TREE, None).contains("\nno tasks\n"));
    let problem = |n: u64| Problem {
        place: format!("task {}", id(n)),
        wanted: "its await chain".to_owned(),
        cause: "not mapped".to_owned(),
    };
    snapshot.problems = (0..12).map(problem).collect();
    snapshot.consistency = Consistency::BestEffort;
    let report = text(&snapshot, TREE, None);
    assert!(!report.contains("no tasks") && !report.contains("0 tasks"), "{report}");
    assert!(report.contains("no task could be read"), "{report}");
    let end = report.split_once("12 problems while reading:\n").unwrap().1;
    assert_eq!(end.lines().filter(|line| line.starts_with("    task 0x")).count(), 10);
    assert!(end.contains("\n    … 2 more\n"), "{end}");
}

#[test]
fn awaiter_that_was_not_read_is_said() {
    let drawn = forest(&snapshot(vec![task(1, "t", &["f app.py:1"], &[77])]), None);
    assert!(drawn.starts_with("(T) t  pending  awaited by a task that was not read\n"), "{drawn}");
}

#[test]
fn facts_that_were_not_read_are_left_out() {
    let mut task = task(1, "t", &[], &[]);
    task.name = None;
    task.state = None;
    let mut snapshot = snapshot(vec![task]);
    snapshot.process.python = None;
    snapshot.process.started_at = None;
    snapshot.process.cmdline.clear();
    snapshot.threads.clear();
    let of = &mut snapshot.loops[0];
    (of.thread, of.state, of.iteration, of.ready, of.scheduled) = (None, None, None, None, None);
    assert_eq!(
        text(&snapshot, TREE, None),
        lines(&[
            "process 4711",
            "CPython of unknown version",
            "",
            "loop 1  state unknown   _UnixSelectorEventLoop",
            "",
            "1 task: 1 state unknown",
            "",
            "(T) 0x7f61b0000100  state unknown",
            "    no frame was read",
            "",
            "exact: no thread ran while it was read · 12.3 ms · never paused",
        ])
    );
}

#[test]
fn bundled_tasks_say_whose_locals_are_shown() {
    let mut tasks: Vec<Task> =
        (0..3).map(|n| task(n, &format!("t{n}"), &["f app.py:1"], &[])).collect();
    for (n, task) in tasks.iter_mut().enumerate() {
        task.frames[0].locals = Some(vec![("n".into(), n.to_string())]);
    }
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&["(T) t{0..2}  ×3  pending  locals of t0", "    f  app.py:1", "        n = 0"])
    );
}

#[test]
fn bundle_whose_members_are_partly_shown_is_split() {
    // q waits for two tasks of one look, one of which stands below p already.
    let tasks = vec![
        task(1, "p", &["p app.py:1"], &[]),
        task(2, "q", &["q app.py:2"], &[]),
        task(3, "x1", &["x app.py:3"], &[1, 2]),
        task(4, "x2", &["x app.py:3"], &[2, 5]),
        task(5, "r", &["r app.py:4"], &[]),
    ];
    assert_eq!(
        forest(&snapshot(tasks), None),
        lines(&[
            "(T) p  pending",
            "│   p  app.py:1",
            "└── (T) x1  pending  awaited by 2 tasks",
            "        x  app.py:3",
            "(T) q  pending",
            "│   q  app.py:2",
            "├── (T) x2  pending  awaited by 2 tasks",
            "│       x  app.py:3",
            "└── (T) x1  ↑ see above",
            "(T) r  pending",
            "│   r  app.py:4",
            "└── (T) x2  ↑ see above",
        ])
    );
}
