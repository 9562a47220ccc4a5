//! Files that may never answer: on the mount of a server that is gone, opening one blocks for good.
//!
//! No call of the system has a limit of time for that. So it is made on a thread that is left
//! behind when no answer comes; it ends with the process. One that answers is asked again the next
//! time: attaching asks for some twenty files.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that answered what it was asked last.
static IDLE: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// How long an answer is waited for: a thousand times what a busy disk takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `ask` gives, if it does in time.
///
/// # Errors
/// What `ask` fails with; `TimedOut` when there is no answer.
pub(super) fn in_time<T: Send + 'static>(
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within(PATIENCE, ask)
}

fn within<T: Send + 'static>(
    patience: Duration,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, answer) = channel();
    let job: Job = Box::new(move || {
        // Nobody waits for it any more if it comes too late.
        let _ = sender.send(ask());
    });
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = idle().take();
    let thread = taken.map_or_else(start, Ok)?;
    // One that has ended never answers.
    let _ = thread.send(job);
    let answer = answer.recv_timeout(patience);
    let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if !answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        *idle() = Some(thread);
    }
    answer
}

/// A thread that does what it is given, until nobody can give it more.
fn start() -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let work = move || jobs.into_iter().for_each(|job| job());
    std::thread::Builder::new().name("file".to_owned()).spawn(work)?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn what_never_answers_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        // Nobody writes to it, so it blocks for as long as the process lives.
        let opened = within(Duration::from_millis(20), || File::open(fifo));
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(in_time(|| Ok(7)).unwrap(), 7);
        let denied = in_time(|| Err::<(), _>(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
