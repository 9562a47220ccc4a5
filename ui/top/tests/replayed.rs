//! A recording on the screen shows what was live at that moment.

use std::sync::Arc;
use std::time::Duration;

use aiospy::recording::{Limits, Taken, Writer};
use aiospy::snapshot::{Interval, Snapshot};
use aiospy::watch::News;
use aiospy::watch::monitor::{Monitor, Settings};
use aiospy::watch::sampler::Sample;

use super::{Screen, scenes};
use crate::top::app::{Effect, Event, Move};
use crate::top::feed::Feed;
use crate::top::replay::Replay;
use crate::top::sampling::{Builder, Made};

/// The time between two samples: as between two looks, and some.
const STEP: Duration = Duration::from_millis(300);

/// The same snapshot again and again, its time going on.
fn series(feed: &Feed, count: u32) -> Vec<Snapshot> {
    let later = |number| {
        let mut snapshot = Snapshot::clone(&feed.snapshot);
        snapshot.findings = None;
        snapshot.taken_at += STEP * number;
        snapshot.during = Interval::at(STEP * number);
        // The words of a recording are made anew of what they tell.
        for waiting in snapshot.tasks.iter_mut().filter_map(|task| task.waiting_on.as_mut()) {
            waiting.describe();
        }
        snapshot
    };
    (0..count).map(later).collect()
}

/// What `top` has of these samples, and a recording of them.
fn both(samples: &[Snapshot]) -> (Vec<Arc<Feed>>, Replay, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.aiospy");
    let mut settings = Settings::default();
    settings.interval = Duration::from_secs(1);
    let (mut monitor, mut builder) = (Monitor::new(settings), Builder::new());
    let mut writer = Writer::create(&path, Limits::default()).unwrap();
    let mut live = Vec::new();
    for snapshot in samples {
        let mut sample = Sample::Whole(Arc::new(snapshot.clone()));
        let events = monitor.take(&mut sample);
        let blocking = monitor.blocking();
        writer.sample(&Taken::of(&monitor, &blocking, 0).unwrap()).unwrap();
        for event in events.clone() {
            writer.event(snapshot.taken_at, event).unwrap();
        }
        match builder.take(News { sample: &sample, events, monitor: &monitor }) {
            Some(Made::Feed(feed)) => live.push(feed),
            _ => panic!("no feed"),
        }
    }
    writer.finish().unwrap();
    (live, Replay::open(&path).unwrap(), folder)
}

/// A replayed feed as if it were live: what only tells where it comes from is taken from there.
fn as_live(replayed: &Feed, live: &Feed) -> Feed {
    Feed {
        at: live.at,
        place: None,
        samples: live.samples,
        missed: live.missed,
        rate: live.rate,
        files: live.files.clone(),
        loops: live.loops.clone(),
        finished: live.finished.clone(),
        ..replayed.clone()
    }
}

#[test]
fn each_view_is_as_it_was_live() {
    let all = [
        scenes::standstill(),
        scenes::held(),
        scenes::shutdown(),
        scenes::threads(),
        scenes::odd_names(),
        scenes::two_loops(),
    ];
    // What was asked for in particular, by whom, and how its connection gets on, are not recorded.
    let mut shop = scenes::shop();
    let tasks = &mut Arc::make_mut(&mut shop.snapshot).tasks;
    tasks.retain(|task| task.waiting_on.as_deref().is_none_or(|it| it.socket().is_none()));
    for work in tasks.iter_mut().filter_map(|task| task.work.as_mut()) {
        let work = Arc::make_mut(work);
        (work.path, work.client) = (None, None);
    }
    let mut findings = 0;
    for scene in all.iter().chain([&shop]) {
        let (live, mut replay, _folder) = both(&series(scene, 6));
        for (number, live) in live.iter().enumerate() {
            let replayed = replay.seek(live.snapshot.taken_at).unwrap();
            assert_eq!(replayed.place.as_ref().map(|place| place.number), Some(number));
            for keys in ["1", "2", "3 Down Enter", "4", "5", "6", "1 0 Enter", "1 Down Enter"] {
                let shown = |feed: Feed| {
                    let mut screen = Screen::of(feed, 120, 40);
                    screen.press(keys);
                    screen.text()
                };
                let again = shown(as_live(&replayed, live));
                assert_eq!(again, shown(Feed::clone(live)), "sample {number}, {keys}");
            }
            for (replayed, live) in replayed.loops.iter().zip(&live.loops) {
                assert_eq!(replayed.now, live.now);
            }
            findings += replayed.findings.len();
        }
    }
    assert!(findings > 20, "only {findings} findings were compared");
}

#[test]
fn one_walks_through_it() {
    let mut samples = series(&scenes::healthy(), 4);
    let mut then = series(&scenes::standstill(), 10);
    for snapshot in &mut then {
        snapshot.taken_at += STEP * 4;
        snapshot.during = Interval::at(snapshot.during.began + STEP * 4);
    }
    samples.append(&mut then);
    let (_, mut replay, _folder) = both(&samples);
    let at = |feed: &Feed| feed.place.as_ref().unwrap().number;
    assert_eq!(at(&replay.feed().unwrap()), 0);
    assert_eq!(at(&replay.step(3).unwrap()), 3);
    assert_eq!(at(&replay.step(-1).unwrap()), 2);
    assert_eq!(at(&replay.step(-9).unwrap()), 0);
    // To where the first finding came, which is told by the second look at it.
    let found = replay.jump(false).unwrap();
    assert!(at(&found) >= 4 && !found.findings.is_empty(), "{}", at(&found));
    assert!(replay.jump(true).is_err());
    assert_eq!(at(&replay.step(99).unwrap()), 13);
    assert!(replay.is_at_end());
    assert!(replay.jump(false).is_err());
    assert_eq!(at(&replay.jump(true).unwrap()), at(&found));
    let Err(error) = Replay::open(std::path::Path::new("/dev/null")) else { panic!() };
    assert_eq!(error.to_string(), "can't read /dev/null");
}

#[test]
fn keys_lead_through_the_time_of_a_recording() {
    let (_, mut replay, _folder) = both(&series(&scenes::standstill(), 20));
    let feed = replay.step(12).unwrap();
    let mut screen = Screen::of(Feed::clone(&feed), 80, 24);
    assert_eq!(screen.press("["), Effect::Move(Move::Step(-1)));
    assert_eq!(screen.press("]"), Effect::Move(Move::Step(1)));
    assert_eq!(screen.press("{"), Effect::Move(Move::Jump { is_back: true }));
    assert_eq!(screen.press(")"), Effect::Move(Move::Step(2)));
    assert_eq!(screen.press("Space"), Effect::Play(true));
    assert!(screen.text().contains("PLAYING"));
    screen.app.update(Event::Ended);
    // What only a live target has is of no use here.
    for (key, why) in [("+", "neither sampled"), ("-", "neither sampled"), ("v", "no variables")] {
        assert_eq!(screen.press(key), Effect::Draw, "{key}");
        assert!(screen.text().contains(why), "{key}: {}", screen.text());
    }
    screen.app.notice = None;
    insta::assert_snapshot!("recording_80x24", screen.text());
    let mut screen = Screen::of(Feed::clone(&feed), 120, 40);
    insta::assert_snapshot!("recording_120x40", screen.text());
}
