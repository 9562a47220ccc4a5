//! Where tasks and threads are in the program's own code.

use std::sync::Arc;

use super::{Frame, Location, Task};
use crate::known::{Libraries, Origin};

impl Location {
    /// One of which only the path says whose code it is.
    pub fn by_path(function: Arc<str>, file: Arc<str>, line: Option<u32>) -> Self {
        Self::new(function, file, line, &Libraries::default())
    }

    /// One without a column, whose code it is by the libraries of its target.
    pub fn new(
        function: Arc<str>,
        file: Arc<str>,
        line: Option<u32>,
        libraries: &Libraries,
    ) -> Self {
        let home = libraries.home(&file);
        let (origin, root_len) = (home.origin, home.root_len(&file));
        Self { function, file, line, column: None, definition: None, origin, root_len }
    }

    /// Whether it is in Python's own code or that of an installed package.
    pub fn is_library(&self) -> bool {
        self.origin != Origin::Own
    }

    /// Whether its code was read from a file: `<string>` is none.
    pub fn has_file(&self) -> bool {
        !self.file.starts_with('<')
    }

    /// Its file below the folder of the library that it is of: `asyncio/locks.py`.
    pub fn path(&self) -> &str {
        usize::try_from(self.root_len)
            .ok()
            .and_then(|len| self.file.get(len..))
            .unwrap_or(&self.file)
    }

    /// Whether it is in that file of a library: `asyncio/locks.py`.
    pub fn is_in(&self, path: &str) -> bool {
        self.is_library() && self.path() == path
    }

    /// The function's own name, without its class.
    pub fn name(&self) -> &str {
        self.function.rsplit('.').next().unwrap_or_default()
    }

    /// Which file of asyncio's own it is of: `locks.py`.
    pub fn asyncio(&self) -> Option<&str> {
        self.stdlib()?.strip_prefix("asyncio/")
    }

    /// The same for one of the standard library; `None` for others.
    pub fn stdlib(&self) -> Option<&str> {
        (self.origin == Origin::Stdlib).then(|| self.path())
    }
}

/// What a loop has called: the frames of a thread below its own; all, if it runs none.
pub fn below_loop(frames: &[Frame]) -> &[Frame] {
    let is_of_loop = |at: &Location| match at.name() {
        "_run_once" | "run_forever" | "run_until_complete" => at.is_library(),
        "_run" => at.asyncio() == Some("events.py"),
        "run" => at.asyncio() == Some("runners.py"),
        _ => false,
    };
    let start = frames.iter().rposition(|frame| is_of_loop(&frame.location));
    frames.get(start.map_or(0, |at| at + 1)..).unwrap_or_default()
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
