//! From facts to the snapshot's words: what a thread is kept by, whose doing that is.

pub mod blocking;
