//! From the start screen to the culprit in at most three keys, written down: what a person does
//! who has never seen it. The same for real programs is in `tests/live/top.rs`.

use super::{Screen, scenes};
use crate::top::feed::Feed;

/// The keys, and what one then has before oneself in the first line that tells of it.
fn path(feed: &Feed, keys: &str, culprit: &str) {
    assert!(keys.split(' ').count() <= 3);
    for size in [(80, 24), (120, 40)] {
        let mut screen = Screen::of(feed.clone(), size.0, size.1);
        screen.press(keys);
        let text = screen.text();
        assert!(text.contains(culprit), "{keys} at {size:?} does not lead to {culprit}:\n{text}");
    }
}

#[test]
fn to_the_culprit() {
    // Two that wait for each other: the finding, then the first of its tasks.
    path(&scenes::standstill(), "Enter Enter", "ada-to-bob  pending");
    // And from there to whom it waits for.
    path(&scenes::standstill(), "Enter Enter Enter", "bob-to-ada  pending");
    // What blocks the loop: the finding, then the task that runs.
    path(&scenes::held(), "Enter Enter", "update-rates  running");
    // Or the view for it, where the present one is the first.
    path(&scenes::held(), "3 Down Enter", "2 times, 3.51 s in all");
    // Who ate a cancellation, with the line that did.
    path(&scenes::shutdown(), "Enter Enter", "except BaseException:");
    path(&scenes::shutdown(), "5 Enter", "except BaseException:");
}

#[test]
fn and_back() {
    let mut screen = Screen::of(scenes::standstill(), 80, 24);
    let start = screen.text();
    screen.press("Enter");
    let finding = screen.text();
    screen.press("Enter Enter");
    assert!(screen.text().contains("bob-to-ada  pending"));
    screen.press("Esc Backspace");
    assert_eq!(screen.text(), finding);
    screen.press("Esc");
    assert_eq!(screen.text(), start);
}
