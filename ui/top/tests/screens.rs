//! Every view at the sizes that people have, and what is out of the ordinary.

use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{Cgroup, Context, MemoryLimit, Trace, Variable, Wait, Work, WorkKind};
use insta::assert_snapshot;
use jiff::SignedDuration;

use super::{Screen, scenes};
use crate::report::text::sample::{snapshot, task, waits};
use crate::top::app::{Effect, Event};
use crate::top::feed::Feed;
use crate::top::picker::{Candidate, Seen};
use crate::top::state::App;
use crate::top::tab::{Focus, Tab};
use crate::top::view::theme::{Depth, Theme};

fn shown(feed: Feed, size: (u16, u16), keys: &str) -> String {
    let mut screen = Screen::of(feed, size.0, size.1);
    screen.press(keys);
    screen.text()
}

const SMALLEST: (u16, u16) = (60, 15);
const SMALL: (u16, u16) = (80, 24);
const USUAL: (u16, u16) = (120, 40);
const WIDE: (u16, u16) = (200, 60);

#[test]
fn start_screen() {
    assert_snapshot!("start_60x15", shown(scenes::standstill(), SMALLEST, ""));
    assert_snapshot!("start_80x24", shown(scenes::standstill(), SMALL, ""));
    assert_snapshot!("start_120x40", shown(scenes::standstill(), USUAL, ""));
    assert_snapshot!("start_200x60", shown(scenes::standstill(), WIDE, ""));
}

#[test]
fn blocked_loop() {
    assert_snapshot!("blocked_60x15", shown(scenes::held(), SMALLEST, ""));
    assert_snapshot!("blocked_120x40", shown(scenes::held(), USUAL, ""));
    assert_snapshot!("blocking_80x24", shown(scenes::held(), SMALL, "3 Down Enter"));
    assert_snapshot!("blocking_120x40", shown(scenes::held(), USUAL, "3 Down Down Enter"));
    assert_snapshot!("loop_60x15", shown(scenes::held(), SMALLEST, "3 G"));
    assert_snapshot!("loop_80x24", shown(scenes::held(), SMALL, "3"));
    assert_snapshot!("loop_120x40", shown(scenes::held(), USUAL, "3"));
    assert_snapshot!("loop_200x60", shown(scenes::held(), WIDE, "3"));
}

/// What has finished and is not there now has a row, too.
#[test]
fn what_finishes_has_figures_where_there_is_room() {
    assert_snapshot!("busy_80x24", shown(scenes::busy(), SMALL, "Down Down"));
    assert_snapshot!("busy_120x40", shown(scenes::busy(), USUAL, ""));
    assert_snapshot!("busy_200x60", shown(scenes::busy(), WIDE, ""));
    assert!(!shown(scenes::busy(), SMALL, "/ o r d e r Enter").contains("/slowjson"));
    assert!(!shown(scenes::busy(), SMALL, "a").contains("/slowjson"));
}

#[test]
fn requests_are_a_row_each() {
    assert_snapshot!("requests_60x15", shown(scenes::shop(), SMALLEST, "4"));
    assert_snapshot!("requests_80x24", shown(scenes::shop(), SMALL, "4 Down"));
    assert_snapshot!("requests_120x40", shown(scenes::shop(), USUAL, "4 Down Down"));
    assert_snapshot!("requests_200x60", shown(scenes::shop(), WIDE, "4"));
    let text = shown(scenes::shop(), USUAL, "4 / s k u 7 Enter");
    assert!(text.contains("/sku7 · 11 found"), "{text}");
    let text = shown(scenes::shop(), SMALL, "4 / n o n e Enter");
    assert!(text.contains("no request matches; Esc clears the filter"), "{text}");
}

/// Each time that a loop was blocked is to be found from the place, and from the loop.
#[test]
fn what_has_blocked_a_loop_is_told_one_by_one() {
    let mut screen = Screen::of(scenes::held(), 120, 40);
    screen.press("3 Down");
    assert!(screen.text().contains("▌!! recv from tcp"), "{}", screen.text());
    screen.press("Enter Down Enter");
    assert!(screen.text().contains("blocked for 1.20 s"), "{}", screen.text());
    screen.press("Esc Esc Up Enter");
    let text = screen.text();
    for began in
        ["now        2.31 s", "05:59:51   1.20 s", "05:59:29   140 ms", "05:58:56   300 ms"]
    {
        assert!(text.contains(began), "{began}: {text}");
    }
    // The one that goes on is counted, and the filter holds for what each was in.
    screen.press("Esc / a u d i t Enter");
    let text = screen.text();
    assert!(text.contains("/audit · 2 found") && !text.contains(" !! "), "{text}");
    let text = shown(scenes::held(), USUAL, "3");
    assert!(text.contains("blocked 4 times"), "{text}");
}

/// A request has one row, and all tasks that it has where single tasks are shown or looked for.
#[test]
fn tasks_beside_a_request_are_there_one_by_one() {
    let request = |number, place: &str| {
        let mut task = task(number, "", &[place], &[]);
        let (kind, identity) = (Some(WorkKind::Request), Some(Address(0x77)));
        let name = "/stock/{sku}".into();
        task.work = Some(Arc::new(Work { kind, name, identity, ..Work::default() }));
        waits(task, Wait::Timer, "")
    };
    let beside = "handle /venv/lib/python3.12/site-packages/quart/asgi.py:54";
    let all = snapshot(vec![request(1, "get shop.py:20"), request(2, beside)]);
    let rows = |keys: &str| {
        let text = shown(scenes::feed(all.clone()), USUAL, keys);
        ["shop.py:20", "asgi.py:54"].map(|place| {
            let of_request = text.lines().filter(|line| line.contains("/stock/{sku}"));
            of_request.filter(|line| line.contains(place)).count()
        })
    };
    assert_eq!(rows(""), [1, 0]);
    assert_eq!(rows("a"), [1, 1]);
    assert_eq!(rows("/ a s g i Enter"), [0, 1]);
}

#[test]
fn tree_view() {
    assert_snapshot!("tree_80x24", shown(scenes::standstill(), SMALL, "2 a Down"));
    assert_snapshot!("tree_120x40", shown(scenes::shutdown(), USUAL, "2"));
    assert_snapshot!("tree_two_loops_120x40", shown(scenes::two_loops(), USUAL, "2"));
}

#[test]
fn cancel_view() {
    assert_snapshot!("cancel_60x15", shown(scenes::shutdown(), SMALLEST, "5"));
    assert_snapshot!("cancel_80x24", shown(scenes::shutdown(), SMALL, "5"));
    assert_snapshot!("cancel_120x40", shown(scenes::shutdown(), USUAL, "5"));
    assert_snapshot!("cancel_200x60", shown(scenes::shutdown(), WIDE, "5"));
}

#[test]
fn threads_view() {
    assert_snapshot!("threads_80x24", shown(scenes::threads(), SMALL, "6"));
    assert_snapshot!("threads_120x40", shown(scenes::threads(), USUAL, "6 Down"));
    assert_snapshot!("pool_120x40", shown(scenes::threads(), USUAL, "6 G Enter"));
}

#[test]
fn opened_things() {
    assert_snapshot!("finding_80x24", shown(scenes::standstill(), SMALL, "Enter"));
    assert_snapshot!("task_80x24", shown(scenes::standstill(), SMALL, "Enter Enter"));
    assert_snapshot!("task_120x40", shown(scenes::shutdown(), USUAL, "Enter Enter"));
    assert_snapshot!("stretch_80x24", shown(scenes::held(), SMALL, "3 Down Enter Enter"));
}

#[test]
fn a_task_has_its_context_beside_it() {
    let mut feed = scenes::standstill();
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let variable = Variable { name: "tenant".into(), value: None };
    let context = Arc::new(Context {
        trace: Some(Trace { trace_id: trace_id.into(), ..Trace::default() }),
        variables: vec![variable],
        ..Context::default()
    });
    for task in &mut Arc::make_mut(&mut feed.snapshot).tasks {
        task.context = Some(Arc::clone(&context));
    }
    let mut screen = Screen::of(feed, 200, 60);
    screen.press("Enter Enter");
    let text = screen.text();
    assert!(text.contains(&format!("context      trace {trace_id}")), "{text}");
    assert!(text.contains("variables    tenant"), "{text}");
}

#[test]
fn a_limit_that_matters_stands_at_the_top() {
    let mut feed = scenes::healthy();
    let memory = MemoryLimit { limit: 256_000_000, used: 241_000_000, oom_kills: None };
    let snapshot = Arc::make_mut(&mut feed.snapshot);
    snapshot.cgroup = Some(Cgroup { memory: Some(memory), ..Cgroup::default() });
    for (width, height) in [SMALLEST, SMALL, USUAL] {
        let mut screen = Screen::of(feed.clone(), width, height);
        let text = screen.text();
        assert!(text.lines().nth(2).unwrap().contains("memory 241 MB of 256 MB"), "{text}");
    }
}

/// What a finding follows from is told by its number: two may have one code.
#[test]
fn a_follower_leads_to_its_own_cause() {
    let behind = |downs: &str| {
        let mut screen = Screen::of(scenes::two_deadlocks(), 120, 40);
        screen.press(downs);
        let convoy = screen.press("Enter");
        assert_eq!(convoy, Effect::Draw);
        screen.press("Enter");
        let text = screen.text();
        let detail: Vec<&str> = text.lines().filter_map(|line| line.split('│').nth(1)).collect();
        detail.join("\n")
    };
    // In the list each stands below its own.
    let first = behind("Down");
    assert!(first.contains("pay and refund are stuck"), "{first}");
    let second = behind("Down Down Down");
    assert!(second.contains("ship and restock are stuck"), "{second}");
}

#[test]
fn help_is_the_table_of_keys() {
    assert_snapshot!("help_60x15", shown(scenes::healthy(), SMALLEST, "?"));
    assert_snapshot!("help_80x24", shown(scenes::healthy(), SMALL, "? PgDn"));
    assert_snapshot!("help_120x40", shown(scenes::healthy(), USUAL, "?"));
    // To its end and no further; and q puts it away.
    let mut screen = Screen::of(scenes::healthy(), 60, 15);
    screen.press("? PgDn PgDn PgDn PgDn PgDn PgDn PgDn PgDn");
    assert!(screen.text().contains("─ Esc closes ─"), "{}", screen.text());
    screen.press("Up");
    assert!(screen.text().contains("─ 1 more ↓ · Esc closes ─"), "{}", screen.text());
    // What is typed is searched for.
    screen.types("quit");
    let text = screen.text();
    assert!(text.contains("q Ctrl-C    quit") && !text.contains("PgUp"), "{text}");
    screen.types("e no");
    assert!(screen.text().contains("no key does this"), "{}", screen.text());
    assert_eq!(screen.press("Esc"), Effect::Draw);
    assert_eq!(screen.press("q"), Effect::Quit);
}

#[test]
fn commands_are_chosen_by_what_they_do() {
    assert_snapshot!("commands_60x15", shown(scenes::healthy(), SMALLEST, ": r e"));
    assert_snapshot!("commands_80x24", shown(scenes::standstill(), SMALL, ": r e Down"));
    assert_snapshot!("commands_120x40", shown(scenes::standstill(), USUAL, ":"));
    let mut screen = Screen::of(scenes::standstill(), 80, 24);
    screen.press(":");
    screen.types("markdo");
    assert_eq!(screen.press("Enter"), Effect::Report);
    screen.press(":");
    screen.types("thread po");
    screen.press("Tab");
    assert!(screen.text().contains(":threads and thread pools▏"), "{}", screen.text());
    screen.press("Enter");
    assert_eq!(screen.app.tab, Tab::Threads);
    // What is of no use here says why.
    screen.press(":");
    screen.types("tenth back");
    screen.press("Enter");
    assert!(screen.text().contains("only a recording has a time to move in"), "{}", screen.text());
    screen.press(": z z");
    assert!(screen.text().contains("no command is like this"), "{}", screen.text());
    screen.press("Enter : Backspace");
    assert!(screen.app.commands.is_none());
}

#[test]
fn a_finding_is_explained() {
    assert_snapshot!("explain_60x15", shown(scenes::standstill(), SMALLEST, "x"));
    assert_snapshot!("explain_80x24", shown(scenes::standstill(), SMALL, "x"));
    assert_snapshot!("explain_120x40", shown(scenes::standstill(), USUAL, "x"));
    let mut screen = Screen::of(scenes::standstill(), 120, 40);
    let before = screen.text();
    screen.press("x Esc");
    assert_eq!(screen.text(), before);
    // From a task that a finding is about, too; of another one there is nothing to explain.
    screen.press("1 x");
    assert!(screen.text().contains("How it is detected"), "{}", screen.text());
    let text = shown(scenes::healthy(), USUAL, "x");
    assert!(text.contains("no finding is selected: 0 leads to them"), "{text}");
}

/// A key that does nothing here says why.
#[test]
fn no_key_does_nothing_without_a_word() {
    for (keys, why) in [
        ("2 s", "only the work is sorted: 1 leads there"),
        ("5 a", "only the work and the tree have groups: 1 and 2 lead there"),
        ("5 Left", "nothing can be folded here"),
        ("3 f", "no task is selected"),
        (">", "there is only this process"),
        ("P", "everything could be read"),
        ("[", "only a recording has a time to move in"),
    ] {
        let text = shown(scenes::healthy(), SMALL, keys);
        assert!(text.contains(why), "{keys}: {text}");
    }
}

#[test]
fn ten_thousand_tasks() {
    assert_snapshot!("crowd_80x24", shown(scenes::crowd(), SMALL, ""));
    assert_snapshot!("crowd_apart_120x40", shown(scenes::crowd(), USUAL, "a G"));
    assert_snapshot!("crowd_tree_120x40", shown(scenes::crowd(), USUAL, "2"));
}

#[test]
fn odd_names_do_no_harm() {
    let text = shown(scenes::odd_names(), SMALL, "1");
    assert!(text.chars().all(|letter| letter == '\n' || !crate::io::page::is_unsafe(letter)));
    assert_snapshot!("odd_names_80x24", text);
    assert_snapshot!("odd_names_120x40", shown(scenes::odd_names(), USUAL, "1 Down Down"));
}

#[test]
fn empty_states() {
    for (name, keys) in [
        ("tasks", "1"),
        ("tree", "2"),
        ("loop", "3"),
        ("requests", "4"),
        ("cancel", "5"),
        ("threads", "6"),
    ] {
        let text = shown(scenes::empty(), SMALL, keys);
        let body: String =
            text.lines().skip(4).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        assert_snapshot!(format!("empty_{name}"), body);
    }
    let mut screen = Screen::blank(80, 24);
    screen.app.update(Event::Waiting(
        "process 7 is starting: its interpreter is not set up yet".to_owned(),
    ));
    assert_snapshot!("waiting_80x24", screen.text());
    assert_snapshot!("healthy_80x24", shown(scenes::healthy(), SMALL, ""));
}

#[test]
fn a_dead_target_stays_to_be_looked_at() {
    let mut screen = Screen::of(scenes::standstill(), 80, 24);
    screen.app.update(Event::Feed(Arc::new(Feed { is_ended: true, ..scenes::standstill() })));
    let later = scenes::now() + SignedDuration::from_secs(75);
    screen.app.update(Event::Tick(later));
    screen.press("Enter Enter");
    assert_snapshot!("dead_80x24", screen.text());
}

#[test]
fn what_cannot_be_read_is_said() {
    let unreadable = Some("no permission any more".into());
    let mut screen = Screen::of(Feed { unreadable, ..scenes::threads() }, 120, 15);
    assert!(screen.text().contains("not read: no permission any more"));
    assert!(screen.text().contains("1 problem"));
    screen.press("P");
    assert!(screen.text().contains("thread 4715: its stack: changed"));
}

#[test]
fn picker() {
    let now = scenes::now().to_zoned(jiff::tz::TimeZone::UTC);
    let mut screen = Screen::blank(80, 24);
    screen.app = App::new((80, 24), &now, 10.0, true);
    assert_snapshot!("picker_looking", screen.text());
    let asyncio = |state: &str, is_blocked, tasks| {
        let python = "3.13.0".to_owned();
        Some(Seen::Asyncio { python, state: state.to_owned(), is_blocked, tasks })
    };
    let candidate = |pid, command: &str, seen| Candidate { pid, command: command.to_owned(), seen };
    screen.app.update(Event::Candidates(vec![
        candidate(4711, "python3 -m orders --port 8080", asyncio("BLOCKED for 2.31 s", true, 1234)),
        candidate(4720, "uvicorn shop:app", asyncio("polling for 12 ms", false, 17)),
        candidate(
            52,
            "python3 /usr/bin/networkd-dispatcher --run-startup-triggers",
            Some(Seen::Other("not permitted".to_owned())),
        ),
        candidate(99, "gunicorn", None),
    ]));
    screen.press("Down");
    assert_snapshot!("picker_80x24", screen.text());
    assert_eq!(screen.press("Enter"), Effect::Attach(4720));
    screen.press("/");
    screen.types("ORD");
    assert_snapshot!("picker_filter", screen.text());
    assert_eq!(screen.press("Enter Enter"), Effect::Attach(4711));
    screen.app.update(Event::Candidates(Vec::new()));
    screen.press("Esc");
    assert_snapshot!("picker_empty", screen.text());
}

#[test]
fn too_small_a_screen_says_so_in_one_line() {
    let text = shown(scenes::standstill(), (59, 15), "");
    assert_eq!(text.trim_end(), "too small: 60 × 15 columns and lines are needed");
    assert_eq!(shown(scenes::standstill(), (60, 3), "").trim_end().lines().count(), 1);
    for size in [(1, 1), (3, 60), (300, 1), (60, 15), (300, 100)] {
        for keys in ["?", "1", "2", "3", "4", "5", "6", "Enter Enter"] {
            shown(scenes::standstill(), size, keys);
            shown(scenes::empty(), size, keys);
        }
    }
}

#[test]
fn ascii_is_nothing_but_ascii() {
    for keys in ["", "2", "3", "4", "5", "6", "?", "Enter", "Enter Enter"] {
        for feed in [scenes::standstill(), scenes::held(), scenes::shutdown(), scenes::odd_names()]
        {
            let mut screen = Screen::of(feed, 120, 40);
            screen.theme = Theme { depth: Depth::Sixteen, is_ascii: true };
            screen.press(keys);
            let text = screen.text();
            assert!(text.is_ascii(), "{text}");
        }
    }
    let mut screen = Screen::of(scenes::held(), 80, 24);
    screen.theme = Theme { depth: Depth::None, is_ascii: true };
    screen.press("3");
    assert_snapshot!("ascii_80x24", screen.text());
}

#[test]
fn a_pause_holds_the_picture_and_not_the_time() {
    let mut screen = Screen::of(scenes::standstill(), 80, 24);
    assert_eq!(screen.press("Space"), Effect::Draw);
    assert_eq!(screen.app.update(Event::Feed(Arc::new(scenes::healthy()))), Effect::Nothing);
    screen.app.update(Event::Tick(scenes::now() + SignedDuration::from_secs(7)));
    let text = screen.text();
    assert!(text.contains("PAUSED · 7 s old") && text.contains("deadlock"), "{text}");
    screen.press("p");
    let text = screen.text();
    assert!(!text.contains("PAUSED") && !text.contains("deadlock"), "{text}");
}

#[test]
fn what_is_selected_stays_selected_when_rows_move() {
    let mut screen = Screen::of(scenes::standstill(), 120, 40);
    screen.press("1 a /");
    screen.types("window-7");
    screen.press("Enter Esc");
    let before = screen.app.subject();
    assert!(before.is_some());
    let mut feed = scenes::standstill();
    let mut snapshot = (*feed.snapshot).clone();
    snapshot.tasks.retain(|task| task.name.as_deref().is_none_or(|name| !name.ends_with('3')));
    feed.snapshot = Arc::new(snapshot);
    screen.app.update(Event::Feed(Arc::new(feed)));
    assert_eq!(screen.app.subject(), before);
    assert!(screen.text().contains("▌   window-7 "), "{}", screen.text());
}

#[test]
fn a_pinned_task_stays_on_top() {
    let mut screen = Screen::of(scenes::standstill(), 120, 40);
    screen.press("1 a G f g Down Down");
    let text = screen.text();
    assert!(text.contains(" ●  heartbeat ") && text.contains(" pinned\n"), "{text}");
    // Once, and not among the others.
    assert_eq!(text.matches("\n ●  heartbeat ").count(), 1, "{text}");
    assert_eq!(text.matches("    heartbeat ").count(), 0, "{text}");
    screen.press("g f");
    assert!(!screen.text().contains("●"), "{}", screen.text());
}

#[test]
fn rates_go_in_steps_and_are_asked_for() {
    let mut screen = Screen::of(scenes::healthy(), 80, 24);
    assert_eq!(screen.press("+"), Effect::Rate(20.0));
    assert_eq!(screen.press("- -"), Effect::Rate(5.0));
    assert_eq!(screen.press("- - - - - - -"), Effect::Nothing, "no slower");
}

#[test]
fn the_filter_finds_as_one_types() {
    let mut screen = Screen::of(scenes::crowd(), 80, 24);
    screen.press("/");
    screen.types("READER-99");
    // All those of a group that are found share its row.
    let text = screen.text();
    assert!(text.contains("/READER-99 · 39 of 10,000 ─"), "{text}");
    screen.press("Enter");
    assert!(screen.text().contains(" 39  reader-*"), "{}", screen.text());
    // What is typed holds in all views, and each of its words counts.
    screen.press("/");
    screen.types(" !99 at:room.py:31");
    assert!(screen.text().contains("no task matches"), "{}", screen.text());
    screen.press("Esc");
    assert!(!screen.text().contains("/READER"));
    screen.press("/");
    screen.types("~^Stream.*readline$ >10s");
    assert!(screen.text().contains("/~^Stream.*readline$ >10s"), "{}", screen.text());
    screen.press("Enter 5");
    assert!(screen.text().contains("/~^Stream"), "{}", screen.text());
    // In the tree it searches, and n goes from one to the next.
    let mut screen = Screen::of(scenes::shutdown(), 80, 24);
    screen.press("2 /");
    screen.types("worker");
    screen.press("Enter");
    let first = screen.app.subject();
    screen.press("n");
    assert_ne!(screen.app.subject(), first);
    screen.press("n");
    assert_eq!(screen.app.subject(), first, "round and round");
    assert!(screen.text().contains("audit-log"), "the others are there, too");
}

#[test]
fn the_mouse_selects_opens_and_scrolls() {
    let mut screen = Screen::of(scenes::standstill(), 120, 40);
    screen.text();
    let regions = screen.app.regions();
    screen.click(4, regions.findings.y + 1);
    assert_eq!((screen.app.focus, screen.app.findings.selected), (Focus::Findings, 1));
    screen.click(4, regions.findings.y + 1);
    assert_eq!(screen.app.focus, Focus::Detail);
    screen.press("Esc");
    let text = screen.text();
    let tabs = text.lines().nth(usize::from(regions.tabs.y)).unwrap();
    let column = u16::try_from(tabs.chars().position(|letter| letter == '5').unwrap()).unwrap();
    screen.click(column + 3, regions.tabs.y);
    assert_eq!(screen.app.tab, Tab::Cancel);
}

#[test]
fn copying_gives_what_is_told() {
    let mut screen = Screen::of(scenes::standstill(), 80, 24);
    let Effect::Copy(text) = screen.press("Enter Enter y") else { panic!() };
    assert!(text.starts_with("ada-to-bob  pending"), "{text}");
    let Effect::Copy(text) = Screen::of(scenes::standstill(), 80, 24).press("y") else { panic!() };
    assert!(text.starts_with("critical [deadlock]"), "{text}");
}

#[test]
fn variables_are_read_when_asked_for() {
    let mut screen = Screen::of(scenes::standstill(), 120, 40);
    let Effect::Locals(task) = screen.press("Enter Enter v") else { panic!() };
    let mut frames = crate::report::text::sample::frames(&["transfer /srv/bank/transfer.py:41"]);
    frames[0].locals = Some(vec![("amount".into(), "100".to_owned())]);
    screen.app.update(Event::Locals(task, Ok(frames)));
    assert!(screen.text().contains("amount = 100"));
}

#[test]
fn rows_are_folded_and_unfolded() {
    let mut screen = Screen::of(scenes::shutdown(), 80, 24);
    screen.press("2 Left");
    assert!(screen.text().contains("▸ main") && !screen.text().contains("──   audit-log"));
    screen.press("Right");
    assert!(screen.text().contains("▾ main") && screen.text().contains("──   audit-log"));
    // What has nothing below it leads to what is above it.
    let above = screen.app.subject();
    screen.press("Down Down Left");
    assert_eq!(screen.app.subject(), above);
    // Tasks alike: into the row of all, and back.
    let mut screen = Screen::of(scenes::crowd(), 80, 24);
    screen.press("Right Down Down");
    assert!(screen.text().contains("  pinger-*") && screen.text().contains("    pinger-4"));
    screen.press("Left");
    assert!(screen.text().contains("  pinger-*") && !screen.text().contains("    pinger-4"));
}

#[test]
fn until_a_key_is_pressed_the_worst_finding_is_selected() {
    let mut screen = Screen::of(scenes::healthy(), 120, 40);
    assert_eq!(screen.app.focus, Focus::View);
    screen.app.update(Event::Feed(Arc::new(scenes::shutdown())));
    assert_eq!(screen.app.focus, Focus::Findings);
    screen.app.update(Event::Feed(Arc::new(scenes::standstill())));
    assert!(screen.text().contains("▌!! 2 tasks wait for each other"), "{}", screen.text());
    screen.press("Down");
    screen.app.update(Event::Feed(Arc::new(scenes::standstill())));
    assert!(screen.text().contains("▌    └ 10 tasks wait for account.lock"), "{}", screen.text());
}
