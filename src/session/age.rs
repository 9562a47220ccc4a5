//! No time that is told is longer than the process is old.
//!
//! What was freed and used again while it was read, a clock that is not the machine's, a loop that
//! was inherited by a `fork`: whatever the cause, a longer time is none of this process. It is then
//! not known, not shorter.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::assemble::Parts;
use crate::snapshot::{Executor, Loop, LoopState, Waiting, Work};

impl Parts {
    /// Removes each time that is longer than `age`.
    pub(super) fn limit_to(&mut self, age: Option<Duration>) {
        for event_loop in &mut self.loops {
            event_loop.limit_to(age);
        }
        let Some(age) = age else { return };
        for executor in &mut self.executors {
            executor.limit_to(age);
        }
        for task in &mut self.tasks {
            [&mut task.work, &mut task.call].into_iter().flatten().for_each(|it| limit(it, age));
        }
        let of_tasks = self.tasks.iter_mut().filter_map(|task| task.waiting_on.as_mut());
        let of_threads = self.threads.iter_mut().filter_map(|thread| thread.waiting_on.as_mut());
        for waiting in of_tasks.chain(of_threads) {
            waiting.limit_to(age);
        }
    }
}

/// Removes the beginning of work that would be older.
fn limit(work: &mut Arc<Work>, age: Duration) {
    if work.since.is_some_and(|since| since.time > age) {
        Arc::make_mut(work).since = None;
    }
}

impl Loop {
    /// Removes each time that is longer than `age`.
    pub(super) fn limit_to(&mut self, age: Option<Duration>) {
        let Some(age) = age else { return };
        self.lag.take_if(|lag| *lag > age);
        self.idle_for.take_if(|idle| *idle > age);
        if let Some(executor) = &mut self.executor {
            executor.limit_to(age);
        }
        let elapsed = self.iteration.as_mut().and_then(|turn| turn.elapsed.take_if(|it| *it > age));
        if elapsed.is_some() {
            // Nor is its beginning a name for it.
            self.iteration_id = None;
            if self.state == Some(LoopState::Blocked) {
                self.state = Some(LoopState::Running);
                self.blocking = None;
            }
        }
    }
}

impl Executor {
    fn limit_to(&mut self, age: Duration) {
        for job in &mut self.jobs {
            job.elapsed.take_if(|elapsed| *elapsed > age);
        }
    }
}

impl Waiting {
    fn limit_to(&mut self, age: Duration) {
        let earliest = SignedDuration::try_from(age).map_or(SignedDuration::MIN, |age| -age);
        let since = self.since.take_if(|since| *since > age);
        for deadline in &mut self.deadlines {
            deadline.due_in.take_if(|due_in| *due_in < earliest);
        }
        let due_in = self.due_in.take_if(|due_in| *due_in < earliest);
        if since.is_some() || due_in.is_some() {
            self.describe();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Age, Deadline, Iteration, Phase, Source};

    const AGE: Duration = Duration::from_secs(3);

    #[test]
    fn a_wait_is_no_longer_than_the_process() {
        let seconds = SignedDuration::from_secs;
        let limit = |due_in: Option<i64>| Deadline { frame: None, due_in: due_in.map(seconds) };
        let mut waiting = Waiting {
            since: Some(Duration::from_secs(2)),
            due_in: Some(seconds(1 << 40)),
            deadlines: [-2, -4].map(|s| limit(Some(s))).into(),
            ..Waiting::default()
        };
        waiting.limit_to(AGE);
        assert_eq!(waiting.since, Some(Duration::from_secs(2)));
        assert_eq!(waiting.due_in, Some(seconds(1 << 40)));
        assert_eq!(waiting.deadlines, [limit(Some(-2)), limit(None)]);
        waiting.since = Some(Duration::from_secs(4));
        waiting.due_in = Some(seconds(-4));
        waiting.limit_to(AGE);
        assert_eq!((waiting.since, waiting.due_in), (None, None));
    }

    #[test]
    fn nor_is_work_older() {
        let since = |seconds| {
            let since = Some(Age::exact(Duration::from_secs(seconds), Source::Frame));
            let mut work = Arc::new(Work { since, ..Work::default() });
            limit(&mut work, AGE);
            work.since.map(|it| it.time.as_secs())
        };
        assert_eq!((since(2), since(4)), (Some(2), None));
    }

    #[test]
    fn nor_is_a_loop_blocked_for_longer() {
        let held_for = |seconds| {
            let iteration = Iteration {
                phase: Phase::Ready,
                elapsed: Some(Duration::from_secs(seconds)),
                callbacks_run: None,
                callbacks_total: None,
                handle: None,
            };
            let state = Some(LoopState::Blocked);
            let lag = Some(Duration::from_secs(seconds));
            let iteration = Some(iteration);
            let mut told = Loop { state, iteration, lag, iteration_id: Some(1), ..Loop::default() };
            told.limit_to(Some(AGE));
            (told.state, told.iteration.and_then(|it| it.elapsed), told.lag, told.iteration_id)
        };
        let two = Some(Duration::from_secs(2));
        assert_eq!(held_for(2), (Some(LoopState::Blocked), two, two, Some(1)));
        assert_eq!(held_for(2940), (Some(LoopState::Running), None, None, None));
    }
}
