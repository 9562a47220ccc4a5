//! What the screen comes to, in a sentence, where there is no finding that says it.

use super::several::sign;
use super::state::{App, Watched};
use crate::report::text::processes::Sign;
use crate::report::text::verdict;
use crate::report::text::words::{counted, processes};

/// The verdict with its sign.
pub fn of(app: &App, watched: &Watched) -> (Sign, String) {
    if let Some(several) = &app.several {
        let worst = several.worst();
        let all = processes(several.count());
        let words = match worst {
            Sign::Ok => format!("no findings in {all}"),
            Sign::None => format!("no event loop to judge in {all}"),
            Sign::Unread => format!("some of {all} could not be read"),
            _ => format!("too soon to say of {all}"),
        };
        return (worst, words);
    }
    let feed = &watched.feed;
    let sign = sign(feed);
    let snapshot = &feed.snapshot;
    let tasks = || {
        let tasks = counted(snapshot.tasks.len(), "task");
        format!("{tasks}, {}", counted(snapshot.loops.len(), "loop"))
    };
    let words = match sign {
        Sign::Ok => format!("no findings: {}", verdict::judged(snapshot).unwrap_or_else(tasks)),
        Sign::Undecided => format!("too soon to say: {}", tasks()),
        Sign::None => verdict::nothing_to_judge(snapshot).map_or_else(tasks, |it| it.cause),
        _ => feed.unreadable.as_deref().unwrap_or("it can't be read").to_owned(),
    };
    (sign, words)
}
