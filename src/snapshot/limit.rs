//! Whether anything ends waits after some time.

use super::{LoopState, Snapshot, Task};

impl Snapshot {
    /// Whether it is certain that no time limit ends the waits of these tasks: each limit of asyncio,
    /// of anyio or of a library is a timer of the loop, and theirs have no timer at all, nor a
    /// callback that one has just made ready. A task that sleeps may be there to cancel others.
    pub fn are_without_limit<'t>(&self, tasks: impl IntoIterator<Item = &'t Task>) -> bool {
        let has_no_timer = |task: &Task| {
            let mut loops = self.loops.iter().filter(|it| Some(it.id) == task.loop_id);
            loops.next().is_some_and(|it| {
                it.state == Some(LoopState::Polling)
                    && it.ready == Some(0)
                    && it.scheduled == Some(0)
            })
        };
        let is_bare = |task: &Task| {
            let waiting = task.waiting_on.as_deref();
            waiting.is_some_and(|it| it.deadlines.is_empty() && it.due_in.is_none())
        };
        let mut tasks = tasks.into_iter().peekable();
        tasks.peek().is_some() && tasks.all(|task| has_no_timer(task) && is_bare(task))
    }
}
