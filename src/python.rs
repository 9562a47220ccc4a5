//! CPython from outside: its interpreters and threads, its objects, its code and frames.

pub mod frame;
pub mod object;
pub mod runtime;
