//! Where tasks and threads are in the program's own code.

use std::sync::Arc;

use super::{Frame, Location, Snapshot, Task};
use crate::known::name::is_compiled_anew;
use crate::known::{Known, Libraries, Module, Origin, Purpose};

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
        let known = Known::default();
        Self { function, file, line, column: None, definition: None, origin, root_len, known }
            .classified()
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

    /// What the function is for, if a library's and known.
    pub fn purpose(&self) -> Option<Purpose> {
        self.known.purpose
    }

    /// Of which file or package of a library it is, if known.
    pub fn module(&self) -> Option<Module> {
        self.known.module
    }

    /// Whether it is of asyncio itself.
    pub fn is_asyncio(&self) -> bool {
        self.module().is_some_and(Module::is_asyncio)
    }

    /// Whether it is of the standard library.
    pub fn is_stdlib(&self) -> bool {
        self.origin == Origin::Stdlib
    }

    /// The same place in a function of a more exact name.
    pub(crate) fn named(self, function: Arc<str>) -> Self {
        Self { function, ..self }.classified()
    }

    /// With what is known of its function.
    pub(crate) fn classified(mut self) -> Self {
        if self.origin == Origin::Own && is_compiled_anew(&self.file, &self.function) {
            self.origin = Origin::Package;
        }
        self.known = Known::of(self.path(), &self.function, self.origin);
        self
    }
}

/// What a loop has called: the frames of a thread below its own; all, if it runs none.
pub fn below_loop(frames: &[Frame]) -> &[Frame] {
    let is_of_loop =
        |frame: &Frame| frame.location.purpose().is_some_and(Purpose::is_around_callbacks);
    let start = frames.iter().rposition(is_of_loop);
    frames.get(start.map_or(0, |at| at + 1)..).unwrap_or_default()
}

/// The innermost frame of the program's own code; else that of an installed package, which says more
/// than what it calls of Python's own; else the innermost. What was made from a string may be a
/// library's, as the functions are that ORMs make, and says less than who called it.
pub fn own_frame(frames: &[Frame]) -> Option<&Frame> {
    let own = |frame: &&Frame| !frame.location.is_library();
    let written = frames.iter().rfind(|frame| own(frame) && &*frame.location.file != "<string>");
    written
        .or_else(|| frames.iter().rfind(own))
        .or_else(|| frames.iter().rfind(|frame| !frame.location.is_stdlib()))
        .or_else(|| frames.last())
}

/// The function of the program that a framework has called for a request; where nothing tells which
/// that is, the outermost of the program's own.
pub fn endpoint(frames: &[Frame]) -> Option<&Frame> {
    let is_router = |frame: &Frame| frame.location.module() == Some(Module::Router);
    let start = frames.iter().rposition(is_router).map_or(0, |at| at + 1);
    let own = |frame: &&Frame| !frame.location.is_library();
    let inside = frames.get(start..).unwrap_or_default().iter().find(own);
    inside.or_else(|| frames.iter().find(own))
}

impl Snapshot {
    /// The server that waits for its application to start, and the task that does the start: the
    /// application may have one of its own, which is what the server's waits for.
    pub fn starting(&self) -> Option<(&'static str, &Task)> {
        let tasks = || self.tasks.iter().filter(|task| !task.is_over());
        let server = |task: &Task| {
            task.purposes().find_map(|purpose| match purpose {
                Purpose::AwaitsStart(server) => Some(server),
                Purpose::StartsOrEnds(server) if self.shutdown.is_none() => Some(server),
                _ => None,
            })
        };
        let (server, waiting) = tasks().find_map(|task| Some((server(task)?, task)))?;
        let application = tasks().find(|task| {
            task.loop_id == waiting.loop_id
                && task.purposes().any(|purpose| purpose == Purpose::Application)
        });
        Some((server, application.unwrap_or(waiting)))
    }
}

impl Task {
    /// What the functions of its frames are for.
    fn purposes(&self) -> impl Iterator<Item = Purpose> {
        self.frames.iter().filter_map(|frame| frame.location.purpose())
    }

    /// Where it is in the program's own code; else where it is.
    pub fn place(&self) -> Option<&Arc<Location>> {
        own_frame(&self.frames).map(|frame| &frame.location)
    }
}
