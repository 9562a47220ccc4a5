mod program;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::program::{Chance, full, location, series};
use super::wire::{Get, Put, ReadTables, Wire as _, WrittenTables, record};
use super::*;
use crate::snapshot::*;
use crate::timeline::{
    Fate, History, Idle, Lives, LoopTiming, Slow, Spread, Standing, Stretch, Stuck, Turn,
};
use crate::watch::monitor::{Event, LoopStatistics, Statistics, TaskCounts};

/// A file in a folder of its own.
struct TempFile {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> TempFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.aiospy");
    TempFile { _folder: folder, path }
}

fn record(path: &std::path::Path, series: &[Snapshot], limits: Limits) -> Vec<Written> {
    // What a record of the same test before left there.
    let _ = std::fs::remove_file(path);
    let mut writer = Writer::create(path, limits).unwrap();
    let mut lives = Lives::default();
    let mut written = Vec::new();
    for (number, snapshot) in series.iter().enumerate() {
        lives.take(snapshot);
        written.push(
            writer
                .sample(&Taken {
                    snapshot,
                    lives: Some(&lives),
                    open: &[],
                    blocking: &[],
                    missed: number as u64 % 3,
                })
                .unwrap(),
        );
        if number % 50 == 0 {
            writer.event(snapshot.taken_at, Event::Unreadable(format!("{number}"))).unwrap();
        }
    }
    writer.finish().unwrap();
    written
}

#[test]
fn each_sample_comes_back_as_it_was_in_any_order() {
    let place = place();
    let series = series(350);
    record(&place.path, &series, Limits::default());
    assert!(is_recording(&place.path).unwrap());
    let mut recording = Recording::open(&place.path).unwrap();
    assert_eq!(recording.len(), series.len());
    let mut lives = Lives::default();
    for (number, snapshot) in series.iter().enumerate() {
        lives.take(snapshot);
        let moment = recording.sample(number).unwrap();
        assert_eq!(format!("{:#?}", moment.snapshot), format!("{snapshot:#?}"), "{number}");
        assert_eq!(moment.missed, number as u64 % 3);
        for task in &snapshot.tasks {
            assert_eq!(moment.lives.get(&task.id).copied(), lives.of(task));
        }
        assert_eq!(recording.moments()[number], snapshot.taken_at);
        assert_eq!(recording.at(snapshot.taken_at), number);
    }
    let mut chance = Chance(3);
    for _ in 0..200 {
        let number = usize::try_from(chance.below(350)).unwrap();
        let moment = recording.sample(number).unwrap();
        assert_eq!(format!("{:?}", moment.snapshot), format!("{:?}", series[number]));
    }
    assert!(matches!(recording.sample(350), Err(Error::NoSample(350))));
    assert_eq!(recording.damage(), []);
    let size = std::fs::metadata(&place.path).unwrap().len();
    assert!(size < 350 * 150, "{size} bytes for 350 samples of 30 tasks, of which few move");
}

fn statistics(at: Timestamp) -> Statistics {
    let spread = Some(Spread { p50_ms: 1.5, p90_ms: 2.0, p99_ms: 3.0, max_ms: 4.25 });
    Statistics {
        at,
        loops: vec![LoopStatistics {
            id: Address(5),
            timing: LoopTiming {
                glances: 5,
                busy: 0.25,
                iterations: 3,
                callbacks_mean: Some(1.0),
                callbacks_max: Some(2),
                ready: spread,
                poll: spread,
                lag_mean_ms: Some(0.1),
                lag_max_ms: None,
            },
        }],
        tasks: Some(TaskCounts {
            pending: 1,
            ready: 2,
            cancelled: 3,
            standing: Standing {
                idle: [(Idle::Main, 1)].into(),
                stuck: vec![Stuck {
                    coroutine: Some("c".into()),
                    function: None,
                    file: None,
                    line: Some(3),
                    kind: WaitKind::Lock,
                    waiting_for: "lock".to_owned(),
                    count: 1,
                    longest: Duration::from_secs(11),
                    tasks: vec![Address(7)],
                }],
                behind: 4,
            },
        }),
        samples: 9,
        missed: 1,
        cancellations: [(Fate::Handled, 2)].into(),
    }
}

#[test]
fn a_full_snapshot_comes_back_from_json() {
    let snapshot = full(Timestamp::from_second(1_700_000_000).unwrap());
    let written = serde_json::to_value(&snapshot).unwrap();
    let mut document = written.clone();
    document["schema"] = SCHEMA.into();
    let read = Snapshot::from_json(document.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    assert_eq!(read.depth, Depth::Reasons);
}

#[test]
fn who_has_asked_is_not_recorded() {
    let client = "203.0.113.9:50000";
    let mut snapshot = full(Timestamp::from_second(1_700_000_000).unwrap());
    let task = &mut snapshot.tasks[0];
    let mut work = Work::clone(task.work.as_ref().unwrap());
    work.client = Some(client.into());
    let socket = Socket {
        protocol: "tcp",
        local: Some("10.0.0.7:8000".to_owned()),
        remote: None,
        state: Some("established"),
        receive_queue: None,
        send_queue: None,
        tcp: None,
        is_watched: None,
        is_accepted: true,
        client: Some(client.to_owned()),
    };
    task.work = Some(Arc::new(work));
    let descriptor = Descriptor { socket: Some(Box::new(socket)), ..Descriptor::default() };
    task.waiting_on = Some(Box::new(Wait::Socket(descriptor).into()));
    let place = place();
    record(&place.path, &[snapshot], Limits::default());
    let moment = Recording::open(&place.path).unwrap().sample(0).unwrap();
    let task = &moment.snapshot.tasks[0];
    let work = task.work.as_ref().unwrap();
    assert_eq!((&*work.name, &work.client), ("/orders/{id}", &None));
    let socket = task.waiting_on.as_ref().unwrap().socket().unwrap();
    assert_eq!((socket.far_end(), &socket.client), (Some(A_CLIENT), &None));
}

/// A record as it was written once, and as it is read now.
struct Before {
    id: Address,
    has_callbacks: bool,
    children: Vec<(Address, Address)>,
    is_torn: bool,
}

struct Now {
    id: Address,
    grounds: Option<TaskGrounds>,
    more: Option<ShutdownGrounds>,
    is_torn: bool,
}

record!(Before { id, has_callbacks, children, is_torn });
record!(Now { id, grounds as FormerFlag, more as FormerPairs, is_torn });

#[test]
fn what_was_once_recorded_is_passed_over() {
    let before = Before {
        id: Address(7),
        has_callbacks: true,
        children: vec![(Address(1), Address(2)), (Address(3), Address(4))],
        is_torn: true,
    };
    let mut names = WrittenTables::default();
    let mut put = Put::new(Vec::new(), &mut names, 0);
    before.put(&mut put);
    let (bytes, known) = (put.bytes, ReadTables::default());
    let mut get = Get::new(&bytes, &known, 0);
    let now = Now::get(&mut get).unwrap();
    assert_eq!((now.id, now.is_torn, get.rest), (Address(7), true, &[][..]));
    assert!(now.grounds.is_none() && now.more.is_none());
}

#[test]
fn events_come_back_and_can_be_gone_to() {
    let place = place();
    let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
    let snapshot = full(at(0));
    let finding = snapshot.findings.as_ref().unwrap()[0].clone();
    let tracked = Tracked {
        number: 3,
        opened_at: at(1),
        seen_at: at(2),
        finding,
        was: Some(Severity::Info),
        worst: Severity::Critical,
        told_at: Duration::from_secs(1),
        missing: 1,
    };
    let work = Arc::new(Occupation {
        handle: Some("task a".to_owned()),
        task: Some(Address(1)),
        stack: vec![location("f", 1), location("g", 2)],
        place: Some(location("g", 2)),
        kind: BlockingKind::Dns,
        description: "getaddrinfo".to_owned(),
        peer: Some("x".to_owned()),
        label: Some("GET /a".into()),
    });
    let stretch = Stretch {
        loop_id: Address(5),
        thread: Some(1),
        began_at: at(1),
        length: Duration::from_millis(300),
        uncertainty: Duration::from_micros(4),
        is_over: true,
        samples: 6,
        waited: Some(Duration::from_millis(20)),
        work: Some(Arc::clone(&work)),
        stacks: vec![(work, 6)],
    };
    let history = History {
        task: Address(7),
        name: Some("n".into()),
        coroutine: None,
        requests: Some(1),
        turns: vec![Turn {
            fate: Fate::Swallowed,
            at: at(1),
            place: Some(location("f", 1)),
            is_earlier: true,
        }],
        suspected: None,
    };
    let told = [
        Event::Reattached,
        Event::Opened(tracked.clone()),
        Event::Updated(tracked.clone()),
        Event::Blocked(stretch.clone()),
        Event::Cancelled(history),
        Event::Statistics(statistics(at(4))),
        Event::Unreadable("gone".to_owned()),
        Event::Slow(Slow {
            at: at(5),
            count: 3,
            work: Arc::new(Work { name: "/a".into(), ..Work::default() }),
            age: Age::at_least(Duration::from_secs(9), Source::Connection),
            place: Some(location("f", 1)),
            waiting: Some("lock a".to_owned()),
            tasks: vec![Address(7)],
        }),
        Event::Closed(tracked.clone()),
    ];
    let mut writer = Writer::create(&place.path, Limits::default()).unwrap();
    let (open, blocking) = ([tracked], [stretch]);
    let taken =
        Taken { snapshot: &snapshot, lives: None, open: &open, blocking: &blocking, missed: 2 };
    writer.sample(&taken).unwrap();
    for (second, event) in (0..).zip(&told) {
        writer.event(at(second), event.clone()).unwrap();
    }
    writer.finish().unwrap();
    let mut recording = Recording::open(&place.path).unwrap();
    let read: Vec<_> = recording.events().iter().map(|it| format!("{:?}", it.event)).collect();
    assert_eq!(read, told.each_ref().map(|event| format!("{event:?}")));
    let moment = recording.sample(0).unwrap();
    assert_eq!(format!("{:?}", moment.open), format!("{open:?}"));
    assert_eq!(format!("{:?}", moment.blocking), format!("{blocking:?}"));
    let is_blocked = |event: &Event| matches!(event, Event::Blocked(_));
    assert_eq!(recording.next_event(at(0), is_blocked).unwrap().at, at(3));
    assert_eq!(recording.previous_event(at(7), is_blocked).unwrap().at, at(3));
    assert!(recording.next_event(at(3), is_blocked).is_none());
    assert!(recording.previous_event(at(3), is_blocked).is_none());
}

#[test]
fn a_file_that_ends_anywhere_is_read_up_to_its_last_whole_block() {
    let place = place();
    let series = series(350);
    record(&place.path, &series, Limits::default());
    let whole = std::fs::read(&place.path).unwrap();
    let marks: Vec<usize> =
        (0..whole.len()).filter(|at| whole[*at..].starts_with(b"\x89Blk")).collect();
    assert_eq!(marks.len(), 4, "one each second");
    for end in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&place.path, &whole[..end]).unwrap();
        let complete =
            marks.iter().chain([&whole.len()]).skip(1).filter(|next| **next <= end).count();
        match Recording::open(&place.path) {
            Ok(mut recording) => {
                assert_eq!(recording.len(), (complete * 101).min(350), "{end}");
                recording.sample(recording.len() - 1).unwrap();
                let is_cut = !marks.contains(&end);
                assert_eq!(recording.damage().len(), usize::from(is_cut));
            }
            Err(error) => assert!(complete == 0, "{end}: {error}"),
        }
    }
}

/// Reads all that there is to be read.
fn read_all(path: &std::path::Path) -> Result<usize, Error> {
    let mut recording = Recording::open(path)?;
    let (mut number, mut read) = (0, 0);
    while number < recording.len() {
        match recording.sample(number) {
            Ok(_) => {
                read += 1;
                number += 1;
            }
            Err(_) => number = recording.behind_block(number),
        }
    }
    assert!(read == recording.len() || !recording.damage().is_empty());
    Ok(read)
}

#[test]
fn a_damaged_block_is_skipped_and_told() {
    let place = place();
    record(&place.path, &series(350), Limits::default());
    let whole = std::fs::read(&place.path).unwrap();
    let marks: Vec<usize> =
        (0..whole.len()).filter(|at| whole[*at..].starts_with(b"\x89Blk")).collect();
    // In the header, and in the payload, of the second of four.
    for (at, is_found) in [(marks[1] + 20, false), (marks[2] - 3, true)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&place.path, &bytes).unwrap();
        let recording = Recording::open(&place.path).unwrap();
        assert_eq!(recording.len(), if is_found { 350 } else { 249 });
        assert_eq!(read_all(&place.path).unwrap(), 249);
    }
    std::fs::write(&place.path, b"{\"schema\": 1}").unwrap();
    assert!(matches!(Recording::open(&place.path), Err(Error::NoRecording)));
    assert!(!is_recording(&place.path).unwrap());
    let mut newer = whole;
    newer[8] = u8::try_from(VERSION + 1).unwrap();
    std::fs::write(&place.path, newer).unwrap();
    let opened = Recording::open(&place.path);
    assert!(matches!(opened, Err(Error::Version { found }) if found == VERSION + 1));
}

#[test]
fn a_thousand_corruptions_never_hang_or_panic() {
    let place = place();
    record(&place.path, &series(120), Limits::default());
    let whole = std::fs::read(&place.path).unwrap();
    let mut chance = Chance(99);
    let mut readable = 0;
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=chance.below(4) {
            let at = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
            match chance.below(4) {
                0 => bytes[at] ^= 1 << chance.below(8),
                1 => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let len = u8::try_from(chance.below(64)).unwrap();
                    bytes.splice(at..at, 0..len);
                }
            }
        }
        std::fs::write(&place.path, &bytes).unwrap();
        readable += usize::from(read_all(&place.path).is_ok());
    }
    assert!(readable > 500, "{readable}");
}

/// Behind right checksums, too: what is in a block is trusted no more than the rest.
#[test]
fn corruptions_behind_checksums_never_hang_or_panic() {
    let samples = series(42);
    let mut encoder = sample::Encoder::default();
    let mut payload = Vec::new();
    for snapshot in &samples {
        let taken = Taken { snapshot, lives: None, open: &[], blocking: &[], missed: 0 };
        encoder.sample(&taken, &mut payload);
    }
    let mut chance = Chance(17);
    for _ in 0..2000 {
        let mut bytes = payload.clone();
        for _ in 0..=chance.below(3) {
            let at = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
            bytes[at] = u8::try_from(chance.below(256)).unwrap();
        }
        let mut decoder = sample::Decoder::new(bytes);
        for _ in 0..samples.len() {
            if decoder.step().is_err() || decoder.moment().is_err() {
                break;
            }
        }
    }
}

#[test]
fn a_recording_ends_at_its_size_or_keeps_the_last_of_it() {
    let place = place();
    let series = series(900);
    let full_size = {
        record(&place.path, &series, Limits::default());
        std::fs::metadata(&place.path).unwrap().len()
    };
    let max_size = Some(full_size / 2);
    let written = record(&place.path, &series, Limits { max_size, keep_last: None });
    assert_eq!(written.last(), Some(&Written::Full));
    let size = std::fs::metadata(&place.path).unwrap().len();
    assert!(size <= full_size / 2 && size > full_size / 4, "{size} of {full_size}");
    let mut recording = Recording::open(&place.path).unwrap();
    assert_eq!(recording.moments()[0], series[0].taken_at);
    recording.sample(recording.len() - 1).unwrap();

    let keep_last = Some(Duration::from_secs(3));
    record(&place.path, &series, Limits { max_size: None, keep_last });
    let mut recording = Recording::open(&place.path).unwrap();
    let kept = recording.len();
    assert!((300..=405).contains(&kept), "{kept}");
    let moment = recording.sample(0).unwrap();
    assert_eq!(format!("{:?}", moment.snapshot), format!("{:?}", series[900 - kept]));
    assert_eq!(std::fs::read_dir(place.path.parent().unwrap()).unwrap().count(), 1);

    let keep_last = Some(Duration::from_secs(60));
    record(&place.path, &series, Limits { max_size, keep_last });
    let size = std::fs::metadata(&place.path).unwrap().len();
    assert!(size <= full_size / 2, "{size} of {full_size}");
    let recording = Recording::open(&place.path).unwrap();
    assert_eq!(recording.moments().last(), Some(&series[899].taken_at));
    assert_eq!(recording.damage(), []);
}

#[test]
fn what_is_not_there_is_no_recording() {
    let place = place();
    assert!(matches!(Recording::open(&place.path), Err(Error::Io(_))));
    std::fs::File::create(&place.path).unwrap().write_all(&block::start()).unwrap();
    assert!(matches!(Recording::open(&place.path), Err(Error::Empty)));
}
