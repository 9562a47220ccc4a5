//! Where tasks and threads are in the program's own code.

use std::sync::Arc;

use super::{Frame, Location, Task};
use crate::known::below_library;

/// Whether a file belongs to Python or to a package that was installed, not to the program.
pub(crate) fn is_library(file: &str) -> bool {
    file.starts_with("<frozen ")
        || ["/site-packages/", "/dist-packages/"].iter().any(|part| file.contains(part))
        || below_library(file).is_some()
}

impl Location {
    /// Whether it is in Python's own code or that of an installed package.
    pub fn is_library(&self) -> bool {
        is_library(&self.file)
    }
}

/// The innermost frame of the program's own code; else the innermost.
pub fn own_frame(frames: &[Frame]) -> Option<&Frame> {
    let own = frames.iter().rfind(|frame| !frame.location.is_library());
    own.or_else(|| frames.last())
}

impl Task {
    /// Where it is in the program's own code; else where it is.
    pub fn place(&self) -> Option<&Arc<Location>> {
        own_frame(&self.frames).map(|frame| &frame.location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_code_is_told_from_the_program() {
        for file in [
            "/usr/lib/python3.13/asyncio/tasks.py",
            "/srv/venv/lib/python3.8/site-packages/uvicorn/server.py",
            "/usr/lib/python3/dist-packages/aiohttp/web.py",
            "<frozen runpy>",
        ] {
            assert!(is_library(file), "{file}");
        }
        for file in ["/srv/app/db.py", "/srv/lib/pythonic/app.py", "<string>", "<stdin>"] {
            assert!(!is_library(file), "{file}");
        }
    }
}
