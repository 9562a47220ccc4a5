//! CPython from outside: its interpreters and threads, its objects, its code and frames.
//!
//! | room | answers |
//! |---|---|
//! | [`runtime`] | where `_PyRuntime` lies, which version it is, and the proof of that; interpreters, thread states, the garbage collector |
//! | [`object`] | what lies at an address: strings, numbers, collections, classes, functions, code objects with their lines and bytecode |
//! | [`frame`] | the frames of threads, coroutines and generators; variables, value stacks, `with` blocks, exception handlers |
//!
//! All of it hangs on [`Reader`](object::Reader): the page cache, the layout, and what was learnt of
//! things that do not change (classes, code objects, names), which is kept by address and checked
//! before it is used again. Fields come from [`layout`](crate::layout) only.
//!
//! Nothing read is trusted: a class is looked at before its fields, counts have caps, walks end, and
//! a read that fails says what it wanted.

pub mod frame;
pub mod heap;
pub mod object;
pub mod runtime;
#[cfg(test)]
pub(crate) mod tests;
