//! `nest_asyncio`, which makes loops run inside one another.

use super::library::Library;
use super::purpose::{Loop, Purpose};

pub(super) const LIBRARY: Library = Library {
    // _patch_loop in nest_asyncio.py, 1.0 to 1.6.
    functions: &[("nest_asyncio.py", "_run_once", Purpose::Loop(Loop::NestedRunOnce))],
    ..Library::PACKAGE
};
