//! Several processes on one screen.

use std::sync::Arc;

use aiospy::Error;
use aiospy::snapshot::{Process, Severity, Snapshot};
use insta::assert_snapshot;

use super::{Screen, scenes};
use crate::report::text::processes::Sign;
use crate::report::text::sample::{COMMAND, looked_at, looked_blocked};
use crate::top::app::{Effect, Event};
use crate::top::feed::Feed;
use crate::top::several::Several;

fn blocked(pid: i32, seconds: u64) -> Feed {
    let mut snapshot = of(looked_blocked(pid, &COMMAND, seconds).read.unwrap());
    let task = snapshot.tasks[0].id;
    snapshot.findings.iter_mut().flatten().for_each(|it| it.tasks = vec![task]);
    scenes::feed(snapshot)
}

fn healthy(pid: i32) -> Feed {
    let mut snapshot = of(looked_at(pid, &COMMAND, |_| ()).read.unwrap());
    snapshot.findings = Some(Vec::new());
    scenes::feed(snapshot)
}

/// As it is after two samples, in a group of processes below 10.
fn of(mut snapshot: Snapshot) -> Snapshot {
    snapshot.looks = Some(2);
    let pid = snapshot.process.pid;
    snapshot.process.parent = Some(if pid == 10 { 1 } else { 10 });
    snapshot
}

fn ended(feed: Feed) -> Feed {
    Feed { is_ended: true, ..feed }
}

fn process(pid: i32) -> Process {
    healthy(pid).snapshot.process.clone()
}

fn give(screen: &mut Screen, feeds: impl IntoIterator<Item = Feed>) {
    for feed in feeds {
        screen.app.update(Event::Feed(Arc::new(feed)));
    }
}

fn fail(screen: &mut Screen, pid: i32, error: Error) -> Effect {
    screen.app.update(Event::Unread(Box::new(process(pid)), error))
}

/// A master with workers, two of which hang.
fn service(width: u16, height: u16) -> Screen {
    let mut screen = Screen::blank(width, height);
    screen.app.several = Some(Several::below(Some(10)));
    fail(&mut screen, 10, Error::NoAsyncio { pid: 10 });
    give(&mut screen, [healthy(11), blocked(12, 3), blocked(13, 4), healthy(14), healthy(15)]);
    screen
}

fn chosen(screen: &Screen) -> Option<i32> {
    screen.app.several.as_ref()?.chosen
}

#[test]
fn processes_are_a_row_each() {
    assert_snapshot!("several_60x15", service(60, 15).text());
    assert_snapshot!("several_80x24", service(80, 24).text());
    assert_snapshot!("several_120x40", service(120, 40).text());
    assert_snapshot!("several_200x60", service(200, 60).text());
}

#[test]
fn the_views_are_of_the_worst_until_one_chooses() {
    let mut screen = service(120, 40);
    // It is told of the one that has hung for longer.
    assert_eq!(chosen(&screen), Some(13));
    let said = "processes 12 and 13: time.sleep has blocked the event loop for 4.00 s";
    assert!(screen.text().contains(said), "{}", screen.text());
    for (key, pid) in [(">", 11), ("<", 13), ("<", 12), ("<", 15)] {
        screen.press(key);
        assert_eq!(chosen(&screen), Some(pid), "{key}");
        let text = screen.text();
        assert!(text.contains(&format!("─ {pid} · ")) && text.contains(said), "{text}");
    }
    // A task of it is none of those that the finding is of, though it lies at the same address.
    let blamed = |screen: &Screen| {
        let findings = &screen.app.target().unwrap().feed.findings;
        findings.iter().map(|known| known.finding.tasks.len()).sum::<usize>()
    };
    assert_eq!(blamed(&screen), 0);
    screen.press("<");
    assert_eq!(blamed(&screen), 0);
    screen.press("> > >");
    assert_eq!((chosen(&screen), blamed(&screen)), (Some(13), 1));
    screen.press("< <");
    // What comes then changes nothing of that.
    give(&mut screen, [blocked(14, 60)]);
    assert_eq!(chosen(&screen), Some(15));
    // A finding is told of in the process that is shown, if it has it, or where it is worst.
    screen.press("0");
    assert_eq!(chosen(&screen), Some(14));
    screen.press("< 0 Enter");
    assert_eq!(chosen(&screen), Some(13));
    assert!(screen.text().contains("processes 12, 13 and 14: "), "{}", screen.text());
    // A click on a row.
    let mut screen = service(120, 40);
    let text = screen.text();
    let row = text.lines().position(|line| line.starts_with(" ok 15 worker")).unwrap();
    screen.click(20, u16::try_from(row).unwrap());
    assert_eq!(chosen(&screen), Some(15));
}

#[test]
fn without_trouble_it_is_the_first_that_has_a_loop() {
    let mut screen = Screen::blank(80, 24);
    screen.app.several = Some(Several::below(Some(10)));
    let mut master = healthy(10);
    Arc::make_mut(&mut master.snapshot).loops.clear();
    give(&mut screen, [master, healthy(12), healthy(11)]);
    assert_eq!(chosen(&screen), Some(12));
    // Who looks at the master stays there.
    screen.press("<");
    screen.press("<");
    assert_eq!(chosen(&screen), Some(10));
    give(&mut screen, [healthy(12)]);
    assert_eq!(chosen(&screen), Some(10));
}

#[test]
fn one_that_ends_stays_and_one_that_comes_is_there() {
    let mut screen = service(80, 24);
    give(&mut screen, [ended(blocked(12, 5))]);
    let text = screen.text();
    assert!(text.contains("    12 worker 2  ended"), "{text}");
    // What it hung in is over; it is said of the other alone.
    assert!(text.contains("process 13: time.sleep has blocked"), "{text}");
    assert_eq!(chosen(&screen), Some(13));
    give(&mut screen, [healthy(16)]);
    assert!(screen.text().contains("─ Processes 7 ─"), "{}", screen.text());
    // What comes and goes, again and again, does not fill the screen.
    give(&mut screen, (20..90).flat_map(|pid| [healthy(pid), ended(healthy(pid))]));
    assert!(screen.text().contains("─ Processes 11 ─"), "{}", screen.text());
}

#[test]
fn what_is_not_read_is_said() {
    let mut screen = service(120, 40);
    let before = screen.text();
    for error in
        [Error::NotPython { pid: 17, exe: "/bin/sh".into() }, Error::TargetGone { pid: 17 }]
    {
        fail(&mut screen, 17, error);
        assert_eq!(screen.text(), before);
    }
    let limit = std::time::Duration::from_secs(1);
    fail(&mut screen, 17, Error::TimedOut { pid: 17, limit });
    let text = screen.text();
    let row = text.lines().find(|line| line.starts_with(" x  17 ")).unwrap();
    assert!(row.contains("too slow to read"), "{row}");
    // There is nothing to be shown of it.
    screen.press("< <");
    assert_ne!(chosen(&screen), Some(17));
}

#[test]
fn those_that_are_well_share_a_row_where_there_is_little_room() {
    let mut several = Several::below(Some(10));
    for feed in [healthy(11), blocked(12, 3), healthy(13), healthy(14)] {
        several.take(Arc::new(feed));
    }
    several.choose(13);
    let pids = |room| several.rows(room).into_iter().map(|row| row.pids).collect::<Vec<_>>();
    assert_eq!(pids(4), [vec![12], vec![11], vec![13], vec![14]]);
    assert_eq!(pids(3), [vec![12], vec![11, 14], vec![13]]);
    // The chosen one is seen in any case.
    assert_eq!(pids(2), [vec![11, 14], vec![13]]);
    assert_eq!(pids(1), [vec![13]]);
    let row = &several.rows(3)[1];
    assert_eq!((row.sign, row.tasks), (Sign::Ok, Some(2)));
}

#[test]
fn a_follower_stands_below_its_cause_of_the_same_process() {
    let both = |pid: i32| {
        let mut feed = scenes::two_deadlocks();
        Arc::make_mut(&mut feed.snapshot).process.pid = pid;
        for (key, known) in Arc::make_mut(&mut feed.findings).iter_mut().enumerate() {
            known.finding.key = format!("key {key}");
        }
        feed
    };
    let mut several = Several::below(None);
    several.take(Arc::new(both(1)));
    several.take(Arc::new(both(2)));
    let findings = several.findings();
    let shown: Vec<(String, bool, &[i32])> = findings
        .iter()
        .map(|it| (it.finding.title.to_string(), it.is_follower, &it.finding.also_in[..]))
        .collect();
    let expected = [
        ("pay and refund are stuck", false),
        ("8 queue behind pay", true),
        ("ship and restock are stuck", false),
        ("9 queue behind ship", true),
    ];
    let expected = expected.map(|(title, follows)| (title.to_owned(), follows, &[2][..]));
    assert_eq!(shown, expected);
    assert!(findings.iter().all(|it| it.finding.severity == Severity::Critical));
}
