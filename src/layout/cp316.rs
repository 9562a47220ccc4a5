//! CPython 3.16, regular x86-64 Linux builds: a draft.
//!
//! Nothing of it was checked: it is that of 3.15, and what the interpreter's own table says goes
//! first. Rows that turn out to differ belong here, each with its source, and are held against
//! DWARF by `scripts/check-layouts` as soon as `scripts/pythons` has such an interpreter.

use super::Layout;

/// Where everything may lie in CPython 3.16.
pub const LAYOUT: Layout = Layout { minor: 16, ..super::cp315::LAYOUT };
