//! Output on its way to a reader that may be slow: a pager, a terminal that was stopped.
//!
//! A thread of its own writes it, so that what is measured goes on meanwhile. So much is kept for
//! the reader; then one has to wait for him.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that are kept: an hour of `watch` at its usual second between lines.
const MOST: usize = 4 << 20;
/// Bytes that are written in one piece.
const PIECE: usize = 16 << 10;
/// For how long one that is to end waits for a reader that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often one that waits looks whether it is to end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Where output waits.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    /// Set when the command is to end.
    stop: Arc<AtomicBool>,
}

/// The same, to be asked how far its reader is.
#[derive(Debug, Clone)]
pub struct Reader {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    /// The end of the pipe, if it is one.
    pipe: Option<Arc<OwnedFd>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is more to write, or something was written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Bytes that the thread has taken and not written yet.
    in_hand: usize,
    /// Bytes that were written.
    written: u64,
    failed: Option<(io::ErrorKind, String)>,
    is_closed: bool,
}

impl State {
    fn left(&self) -> usize {
        self.waiting.len() + self.in_hand
    }

    fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `is_so`, or what is written fails; when `stop` is set only while anything is
    /// taken.
    fn wait_until(
        &self,
        stop: &AtomicBool,
        is_so: impl Fn(&State) -> bool,
    ) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let (mut written, mut since) = (state.written, Instant::now());
        loop {
            state.check()?;
            if is_so(&state) {
                return Ok(state);
            }
            let waited = self.changed.wait_timeout(state, BETWEEN_LOOKS);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.written != written || !stop.load(Ordering::Relaxed) {
                (written, since) = (state.written, Instant::now());
            } else if since.elapsed() >= PATIENCE {
                let text = format!("nobody reads it: its last {} bytes are lost", state.left());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    /// Writes what comes, until it is closed or cannot be written.
    fn serve(&self, mut to: impl Write) {
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() {
                if state.is_closed {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let bytes = std::mem::take(&mut state.waiting);
            state.in_hand = bytes.len();
            drop(state);
            for piece in bytes.chunks(PIECE) {
                let done = to.write_all(piece).and_then(|()| to.flush());
                let mut state = self.state();
                if let Err(error) = &done {
                    state.failed = Some((error.kind(), error.to_string()));
                } else {
                    state.in_hand -= piece.len();
                    state.written += piece.len() as u64;
                }
                self.changed.notify_all();
                if done.is_err() {
                    return;
                }
            }
        }
    }
}

impl Queue {
    /// One in front of `to`; when `stop` is set, a reader that takes nothing is waited for only for
    /// two seconds more.
    pub fn new(to: impl Write + Send + 'static, stop: Arc<AtomicBool>) -> Self {
        let shared = Arc::<Shared>::default();
        let server = Arc::clone(&shared);
        std::thread::spawn(move || server.serve(to));
        Self { shared, stop }
    }

    /// To ask how far its reader is.
    pub fn reader(&self, pipe: Option<OwnedFd>) -> Reader {
        let (shared, stop) = (Arc::clone(&self.shared), Arc::clone(&self.stop));
        Reader { shared, stop, pipe: pipe.map(Arc::new) }
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.wait_until(&self.stop, |state| state.left() < MOST)?;
        let some = bytes.len().min(MOST.saturating_sub(state.left()));
        state.waiting.extend(bytes.iter().take(some));
        self.shared.changed.notify_all();
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        // The thread has it already.
        self.shared.state().check()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Reader {
    /// Whether it went away, or what it reads from cannot be written.
    pub fn is_gone(&self) -> bool {
        self.shared.state().failed.is_some() || self.has_closed()
    }

    /// Whether it has closed the pipe, which is else only seen when there is something to write.
    fn has_closed(&self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut asked = [PollFd::new(pipe, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut asked, Some(&at_once)).is_ok_and(|found| {
            found > 0 && asked.iter().any(|it| it.revents().contains(PollFlags::ERR))
        })
    }

    /// Waits until it has everything.
    ///
    /// # Errors
    /// When it went away, or takes nothing any more when all is to end.
    pub fn wait(&self) -> io::Result<()> {
        self.shared.wait_until(&self.stop, |state| state.left() == 0).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn queue() -> (io::PipeReader, Queue) {
        let (from, to) = io::pipe().unwrap();
        (from, Queue::new(to, Arc::default()))
    }

    #[test]
    fn what_is_kept_comes_in_its_order_when_it_is_read() {
        let (mut from, mut queue) = queue();
        // Nobody reads it yet: far more than a pipe holds.
        let lines: Vec<String> = (0..100_000).map(|number| format!("line {number}\n")).collect();
        let lines = lines.concat();
        assert!((1 << 20..MOST).contains(&lines.len()));
        queue.write_all(lines.as_bytes()).unwrap();
        let reader = queue.reader(None);
        drop(queue);
        let mut read = String::new();
        from.read_to_string(&mut read).unwrap();
        assert!(read == lines);
        reader.wait().unwrap();
    }

    #[test]
    fn beyond_that_the_reader_is_waited_for() {
        let (mut from, mut queue) = queue();
        let more = vec![7; 3 * MOST];
        let len = more.len();
        let writing = std::thread::spawn(move || queue.write_all(&more).map(|()| queue));
        let mut read = vec![0; len];
        from.read_exact(&mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == 7));
        writing.join().unwrap().unwrap();
    }

    #[test]
    fn a_reader_that_is_gone_is_told() {
        let (from, mut queue) = queue();
        drop(from);
        queue.write_all(b"x").unwrap();
        let reader = queue.reader(None);
        assert_eq!(reader.wait().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(reader.is_gone());
        assert_eq!(queue.write(b"y").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn one_that_is_to_end_does_not_wait_for_a_reader_that_takes_nothing() {
        let (mut from, mut queue) = queue();
        queue.write_all(&vec![7; MOST]).unwrap();
        queue.stop.store(true, Ordering::Relaxed);
        let error = queue.reader(None).wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // A pipe has 64 KiB, less in a container with little memory for pipes.
        let lost: usize = error.to_string().split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!((MOST - (1 << 20)..MOST).contains(&lost), "{error}");
        let mut read = vec![0; MOST];
        from.read_exact(&mut read).unwrap();
        queue.reader(None).wait().unwrap();
    }
}
