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
//! # Layers
//! Each knows only those before it:
//! `memory → target → layout → runtime → object → frame → asyncio → snapshot → timeline → diagnose`.
//! [`known`] says whose code a file is, to all from `object` on.

pub mod asyncio;
pub mod diagnose;
pub mod error;
#[cfg(feature = "fallback")]
pub mod fallback;
pub mod frame;
pub mod inspector;
pub mod known;
pub mod layout;
pub mod memory;
pub mod monitor;
pub mod object;
pub mod recording;
pub mod runtime;
pub mod sampler;
pub mod snapshot;
pub mod target;
pub mod timeline;

pub use error::{Error, Result};
pub use inspector::{Inspector, Locals, Options};
