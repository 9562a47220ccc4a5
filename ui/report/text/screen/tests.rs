//! One screen, whatever the service.

use std::sync::Arc;
use std::time::Duration;

use aiospy::snapshot::{
    Code, Doubt, Finding, FindingId, LoopState, Sentence, Severity, Snapshot, Undecided, Verdict,
    Wait, Work, WorkKind,
};
use unicode_width::UnicodeWidthStr as _;

use super::MAX_LINES;
use crate::report::text::View;
use crate::report::text::sample::{self, bank, bank_source, shop, shop_source, task, text, waits};

fn screen(snapshot: &Snapshot, width: usize) -> Vec<String> {
    let source = shop_source();
    let view = View { source: Some(&source), ..View::default() };
    text(snapshot, view, Some(width)).lines().map(str::to_owned).collect()
}

/// The laws that hold for every report.
fn check(name: &str, snapshot: &Snapshot) {
    for width in [60, 80, 100, 120, 200] {
        let lines = screen(snapshot, width);
        let report = lines.join("\n");
        assert!(lines.iter().all(|line| line.width() <= width), "{name} {width}:\n{report}");
        if width >= 80 {
            assert!(lines.len() <= MAX_LINES, "{name} {width}: {}\n{report}", lines.len());
        }
        // The verdict may take two lines.
        let says_it_last = |count: usize| lines[..count] == lines[lines.len() - count..];
        assert!((1..=3).any(says_it_last), "{name} {width}:\n{report}");
        assert!(!report.contains("\n\n\n"), "{name} {width}:\n{report}");
    }
}

#[test]
fn a_hung_service_fits_a_terminal_and_the_answer_comes_first() {
    let expected = "\
!  127.0.0.1:18999 has been silent for 62.3 s: 161 of 175 requests are stuck
   who    61 waiting: 60 × GET /recommend/{user}, 1 × GET /refresh
   where  shop.py:59 recommend  r=await app.client.get(UP)
   since  sent 61.3 … 62.3 s ago and acknowledged, no reply: not the network
   do     pass a timeout, such as timeout=10, to httpx             [peer-silent]
   └ GET /refresh holds self.lock meanwhile: 100 requests queue
     where  shop.py:17 Inventory.refresh  data=await r.readline()  [lock-convoy]

   22153 uvicorn shop:app · CPython 3.13.0 · up 3 h 12 min · loop 1 polling
      N  WORK                   AT          OLDEST  WAITS FOR
!   100  GET /stock/{sku}       shop.py:20  61.8 s  self.lock, held by GET /ref…
!    60  GET /recommend/{user}  shop.py:59  61.4 s  127.0.0.1:18999
!     1  GET /refresh           shop.py:17  62.3 s  127.0.0.1:18999
     10  GET /slowsleep         shop.py:68  7.34 s  sleep(30), 22.6 s left
      4  GET /report            shop.py:64  7.33 s  in a thread: time.sleep
     20  ws /ws/{room}          shop.py:80  61.3 s  idle: next message
      1  order-consumer         shop.py:29          idle: queue, 0 items
      2  of uvicorn                                 idle

198 tasks · 2 samples · exact · more: --tree
!  127.0.0.1:18999 has been silent for 62.3 s: 161 of 175 requests are stuck";
    assert_eq!(screen(&shop(), 80).join("\n"), expected);
}

#[test]
fn that_there_is_no_timeout_is_said_where_that_is_certain() {
    let who = |timers| {
        let mut snapshot = shop();
        snapshot.loops[0].scheduled = timers;
        let lines = screen(&snapshot, 80);
        lines.into_iter().find(|line| line.starts_with("   who")).unwrap()
    };
    let all = "   who    61 waiting: 60 × GET /recommend/{user}, 1 × GET /refresh";
    assert_eq!(who(Some(0)), format!("{all}; no timeout"));
    assert_eq!(who(Some(11)), all);
    assert_eq!(who(None), all);
}

#[test]
fn a_wide_page_has_functions_and_more_of_each_wait() {
    let report = screen(&shop(), 120).join("\n");
    for line in [
        "!   100  GET /stock/{sku}       shop.py:20 Inventory.get      61.8 s  self.lock, held by GET /refresh",
        "!     1  GET /refresh           shop.py:17 Inventory.refresh  62.3 s  127.0.0.1:18999",
        "      1  order-consumer         shop.py:29 consumer                   idle: queue, 0 items",
        "      2  of uvicorn                                                   idle",
    ] {
        assert!(report.contains(&format!("\n{line}\n")), "{line}\n{report}");
    }
}

#[test]
fn below_eighty_columns_places_go_and_titles_wrap() {
    let lines = screen(&shop(), 60);
    let verdict =
        ["!  127.0.0.1:18999 has been silent for 62.3 s: 161 of 175", "   requests are stuck"];
    assert_eq!(lines[..2], verdict);
    let head = lines.iter().find(|line| line.contains("WORK")).unwrap();
    assert!(!head.contains("AT") && head.contains("OLDEST"), "{head}");
}

fn ok(mut snapshot: Snapshot) -> Snapshot {
    (snapshot.findings, snapshot.looks) = (Some(Vec::new()), Some(1));
    snapshot.verdict = Some(Verdict::Ok);
    snapshot
}

#[test]
fn a_healthy_service_says_what_was_read_and_what_it_cannot_know() {
    let sleeper = task(1, "beat", &["beat app.py:9"], &[]);
    let snapshot = ok(sample::snapshot(vec![waits(sleeper, Wait::Timer, "")]));
    let expected = "\
ok 1 task: it is not stuck, the loop is not blocked

   4711 orders --port 8080 · CPython 3.13.0 · up 3 h 12 min · loop 1 polling
      N  WORK  AT        WAITS FOR
      1  beat  app.py:9  sleep

1 task · 1 sample · exact · more: --tree
A sample can't see short blocks: aiospy watch 4711 -d 10s does.
ok 1 task: it is not stuck, the loop is not blocked";
    assert_eq!(screen(&snapshot, 80).join("\n"), expected);
    let none = screen(&ok(sample::snapshot(Vec::new())), 80).join("\n");
    assert!(none.starts_with("ok no tasks: the loop is not blocked\n"), "{none}");
}

#[test]
fn what_may_be_a_hang_says_that_it_is_too_soon_to_say() {
    let mut snapshot = shop();
    for finding in snapshot.findings.iter_mut().flatten() {
        finding.severity = Severity::Info;
    }
    snapshot.verdict = Some(Verdict::Undecided);
    snapshot.undecided = vec![Undecided {
        reason: Doubt::TooSoon,
        title: "61 tasks wait".to_owned(),
        code: Some(Code::PeerSilent),
        seen_for: Some(Duration::from_secs(1)),
    }];
    let lines = screen(&snapshot, 120);
    assert_eq!(
        lines[0],
        "?  127.0.0.1:18999 has been silent for 62.3 s, 161 of 175 requests wait: too soon to say"
    );
    assert!(lines.iter().any(|line| line.starts_with("?    60  GET /recommend")), "{lines:#?}");
    assert_eq!(lines[lines.len() - 2], "To decide: aiospy dump 22153 --wait 5s");
    check("undecided", &snapshot);
}

#[test]
fn without_a_loop_it_says_whom_to_ask() {
    let mut snapshot = ok(sample::snapshot(Vec::new()));
    snapshot.loops.clear();
    let lines = screen(&snapshot, 80);
    assert_eq!(lines[0], "x  no event loop to judge: process 4711 has none");
    assert!(lines.iter().any(|line| line.starts_with("try: aiospy dump --threads 4711")));
    check("none", &snapshot);
}

fn many(findings: usize, severity: Severity, has_followers: bool) -> Vec<Finding> {
    let number = |at: usize| u64::try_from(at).unwrap();
    let codes = [Code::LockConvoy, Code::PeerSilent, Code::QueueStalled, Code::OrphanWait];
    (1..=findings)
        .map(|at| {
            let title = format!("trouble {at} holds {}: 7 tasks queue", "x".repeat(at * 3));
            let code = codes[at % codes.len()];
            let mut finding = sample::finding(code, severity, &title, &[number(at)]);
            finding.id = FindingId(number(at));
            finding.advice = "Do this at once, or that, or give it all a limit. ".repeat(3);
            finding.place = sample::frames(&["f /srv/shop.py:17"]).pop().map(|it| it.location);
            if has_followers && at > 1 {
                finding.because_of =
                    Some(FindingId(number(at / 3 + 1)).min(FindingId(number(at - 1))));
            }
            finding
        })
        .collect()
}

#[test]
fn no_report_is_longer_than_a_screen_nor_wider_than_its_page() {
    check("shop", &shop());
    check("bank", &bank());
    check("empty", &ok(sample::snapshot(Vec::new())));
    for (count, all) in [(1_u64, &[1][..]), (10, &[1, 7]), (10_000, &[500])] {
        for &groups in all {
            let name = |n: u64| {
                format!("{}-{}", "job".repeat(1 + usize::try_from(n % groups).unwrap() % 60), n)
            };
            let tasks = (0..count).map(|n| {
                let place = format!("f app.py:{}", n % groups + 1);
                task(n, &name(n), &[&place], &[])
            });
            let snapshot = ok(sample::snapshot(tasks.collect()));
            check("tasks", &snapshot);
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                for (findings, has_followers) in [(1, false), (4, false), (40, false), (40, true)] {
                    let mut snapshot = snapshot.clone();
                    snapshot.findings = Some(many(findings, severity, has_followers));
                    snapshot.verdict = Some(Verdict::Findings);
                    check("findings", &snapshot);
                }
            }
        }
    }
}

#[test]
fn names_of_any_length_and_of_wide_letters_fit() {
    let mut snapshot = shop();
    for task in &mut snapshot.tasks {
        let name: Arc<str> = "日本語の名前".repeat(40).into();
        let work =
            Work { kind: Some(WorkKind::Request), name: Arc::clone(&name), ..Work::default() };
        (task.work, task.name) = (Some(Arc::new(work)), Some(name));
        task.frames =
            sample::frames(&[&format!("{} /srv/{}.py:123", "f".repeat(200), "ü".repeat(200))]);
    }
    let findings = snapshot.findings.as_mut().unwrap();
    findings[0].title =
        Sentence::name("名".repeat(200)).then("hangs").so_many((7, "task"), ["", "", ""]);
    findings[1].title = "a-word-without-blanks".repeat(20).into();
    snapshot.process.cmdline = vec!["x".repeat(500)];
    check("names", &snapshot);
}

#[test]
fn a_blocked_loop_names_itself_and_how_to_see_its_stack() {
    let mut snapshot = sample::blocked(vec![task(1, "update", &["f app.py:1"], &[])]);
    (snapshot.findings, snapshot.verdict) = (Some(Vec::new()), Some(Verdict::Ok));
    let report = screen(&snapshot, 80).join("\n");
    assert!(report.contains("loop 1 BLOCKED 2.31 s\n"), "{report}");
    assert!(report.contains("more: --threads, --tree"), "{report}");
    snapshot.loops[0].state = Some(LoopState::Stopped);
    assert!(!screen(&snapshot, 80).join("\n").contains("BLOCKED"));
}

#[test]
fn what_is_not_shown_is_counted_with_what_shows_it() {
    let tasks = (0..30).map(|n| {
        task(n, &format!("t{}", "x".repeat(usize::try_from(n).unwrap())), &["f a.py:1"], &[])
    });
    let mut snapshot = ok(sample::snapshot(tasks.collect()));
    snapshot.findings = Some(many(40, Severity::Warning, false));
    snapshot.verdict = Some(Verdict::Findings);
    let report = screen(&snapshot, 80).join("\n");
    assert!(report.contains("more findings: --all-findings\n"), "{report}");
    assert!(report.contains("40 causes · 30 tasks"), "{report}");
    let bank = {
        let source = bank_source();
        text(&bank(), View { source: Some(&source), ..View::default() }, Some(80))
    };
    assert!(
        bank.contains("\ni  Probably nothing refers to heartbeat but asyncio itself"),
        "{bank}"
    );
}
