//! Look into the asyncio program of a running CPython process, from outside and without preparation.
//!
//! ```no_run
//! let mut inspector = aiospy::Inspector::attach(4711)?;
//! let snapshot = inspector.snapshot(&aiospy::Options::default())?;
//! for task in &snapshot.tasks {
//!     println!("{:?} {:?}", task.name, task.state);
//! }
//! # Ok::<(), aiospy::Error>(())
//! ```
//!
//! # Promises
//! * The target is only read: no ptrace, no signal, no write, no pause.
//! * A fact that was not read is absent; what could not be read is a
//!   [`Problem`](snapshot::Problem) of the snapshot, never a silent gap.
//! * Nothing read is trusted: every length, count and walk has a cap, and every walk ends.
//! * The library never prints, never exits and never sees a terminal.
//!
//! What a library's user needs is [`Inspector`], [`snapshot`], [`watch`] and [`recording`]; `examples/`
//! shows them. The other modules are open to the tests and may change with any version.
//!
//! # Layers
//! Each knows only those before it; `tests/layers.rs` holds this list.
//!
//! | layer | answers |
//! |---|---|
//! | [`memory`] | bytes at an address |
//! | [`known`] | whose code a file is |
//! | [`snapshot`] | the words that everybody shares, as plain data |
//! | [`error`] | why there is no snapshot |
//! | [`process`] | the process around the memory |
//! | [`native`] | stacks in C of threads that sleep |
//! | [`layout`] | where fields lie in each version |
//! | [`python`] | CPython from outside |
//! | [`asyncio`] | loops, tasks, futures, what they wait for |
//! | [`explain`] | from facts to the snapshot's words |
//! | [`session`] | one attached target, and what is read of it in which order |
//! | [`timeline`] | several snapshots |
//! | [`diagnose`] | findings |
//! | [`watch`] | samples over time, and the events made from them |
//! | [`recording`] | samples in a file |
//! | `fallback` | thread stacks by py-spy |

#[doc(hidden)]
pub mod asyncio;
pub mod diagnose;
pub mod error;
#[doc(hidden)]
pub mod explain;
#[cfg(feature = "fallback")]
pub mod fallback;
pub mod known;
#[doc(hidden)]
pub mod layout;
pub mod memory;
#[doc(hidden)]
pub mod native;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod python;
pub mod recording;
pub mod session;
pub mod snapshot;
pub mod timeline;
pub mod watch;

pub use error::{Error, Result};
pub use explain::{Locals, Options, Search};
pub use session::Inspector;
