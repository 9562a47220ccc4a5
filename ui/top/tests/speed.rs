//! What drawing costs, measured by `scripts/bench top`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Screen, scenes};
use crate::top::app::Event;

/// Milliseconds for each of `runs` of some work, in the middle and at most.
fn measured(runs: usize, mut work: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    (ms(times[runs / 2]), ms(times[runs - 1]))
}

/// Not for a debug build: `scripts/bench` runs it in release.
#[test]
#[ignore = "a measurement"]
fn frames_of_ten_thousand_tasks() {
    for (name, keys) in [
        ("tasks", "1"),
        ("tasks apart", "1 a"),
        ("tree", "2"),
        ("tree apart", "2 a"),
        ("loop", "3"),
        ("cancel", "5"),
        ("threads", "6"),
    ] {
        let feed = Arc::new(scenes::crowd());
        let mut screen = Screen::of(scenes::crowd(), 200, 60);
        screen.press(keys);
        let (median, most) = measured(50, || {
            screen.text();
        });
        let (update, update_most) = measured(20, || {
            screen.app.update(Event::Feed(Arc::clone(&feed)));
        });
        println!(
            "frame {{\"view\": \"{name}\", \"tasks\": 10000, \"median_ms\": {median:.3}, \
             \"max_ms\": {most:.3}, \"update_ms\": {update:.3}, \"update_max_ms\": \
             {update_most:.3}}}"
        );
    }
}
