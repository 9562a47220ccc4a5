//! From the path and the name of a function to what it is for.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::contextvar::Variables;
use super::name::last_part;
use super::purpose::{Module, Purpose};
use super::work::Row;
use super::{LIBRARIES, Origin};

/// What is known of one library.
pub(super) struct Library {
    /// Whose it is.
    pub origin: Origin,
    /// Files, and folders that end in `/`, by their path below the library's root; the first that
    /// fits counts.
    pub modules: &'static [(&'static str, Module)],
    /// Functions by file and name. A name with a dot is a qualified name; one without is that of a
    /// function of any class, or of none: frames of Python 3.10 and earlier have no more.
    pub functions: &'static [(&'static str, &'static str, Purpose)],
    /// Functions of any library, by their names without a class.
    pub anywhere: &'static [(&'static str, Purpose)],
    /// What frames of its functions say of the work that they are part of.
    pub work: &'static [Row],
    /// What it keeps in variables of contexts.
    pub variables: &'static [Variables],
    /// Its package, and the argument that gives its calls a time limit.
    pub time_limit: Option<(&'static str, &'static str)>,
}

impl Library {
    /// A package of which nothing is known yet.
    pub const PACKAGE: Self = Self {
        origin: Origin::Package,
        modules: &[],
        functions: &[],
        anywhere: &[],
        work: &[],
        variables: &[],
        time_limit: None,
    };
}

/// The argument by which the calls of a package get a time limit: `timeout=10`.
pub fn time_limit(package: &str) -> Option<&'static str> {
    let mut limits = LIBRARIES.iter().filter_map(|library| library.time_limit);
    limits.find(|(name, _)| *name == package).map(|(_, argument)| argument)
}

/// What is known of a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The file or package that it is of.
    pub module: Option<Module>,
}

/// The functions of all libraries.
static FUNCTIONS: LazyLock<FxHashMap<(Origin, &str, &str), Purpose>> = LazyLock::new(|| {
    let of = |library: &'static Library| {
        let rows = library.functions.iter();
        rows.map(|&(path, name, purpose)| ((library.origin, path, name), purpose))
    };
    LIBRARIES.iter().flat_map(of).collect()
});

impl Known {
    /// What is known of the function `name` in a file of a library, by its path below the library's
    /// root.
    pub fn of(path: &str, name: &str, origin: Origin) -> Self {
        if origin == Origin::Own {
            return Self::default();
        }
        let last = last_part(name);
        let anywhere = || {
            let mut all = LIBRARIES.iter().flat_map(|library| library.anywhere);
            all.find(|(name, _)| *name == last).map(|(_, purpose)| *purpose)
        };
        let functions = &*FUNCTIONS;
        let exact =
            functions.get(&(origin, path, name)).or_else(|| functions.get(&(origin, path, last)));
        let of_origin = LIBRARIES.iter().filter(|library| library.origin == origin);
        let mut modules = of_origin.flat_map(|library| library.modules);
        let is_it =
            |module: &str| module == path || module.ends_with('/') && path.starts_with(module);
        Self {
            purpose: exact.copied().or_else(anywhere),
            module: modules.find(|(module, _)| is_it(module)).map(|(_, module)| *module),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::purpose::{Loop, Thread, Wait};
    use super::*;

    fn purpose(path: &str, name: &str) -> Option<Purpose> {
        Known::of(path, name, Origin::Stdlib).purpose
    }

    #[test]
    fn a_function_is_known_by_its_file_and_its_name() {
        let wait = |name| purpose("asyncio/locks.py", name);
        assert_eq!(wait("Lock.acquire"), Some(Purpose::Wait(Wait::Lock)));
        assert_eq!(wait("Barrier._wait"), Some(Purpose::Wait(Wait::Barrier)));
        assert_eq!(wait("Lock.__aenter__"), None);
        // Before 3.11 a code object does not say of which class it is.
        assert_eq!(wait("acquire"), None);
        assert_eq!(purpose("asyncio/tasks.py", "Lock.acquire"), None);
    }

    #[test]
    fn a_program_that_is_called_alike_is_not_the_library() {
        let known = Known::of("asyncio/locks.py", "Lock.acquire", Origin::Own);
        assert_eq!(known, Known::default());
    }

    #[test]
    fn a_package_that_is_called_alike_is_not_the_standard_library() {
        let known = Known::of("asyncio/locks.py", "Lock.acquire", Origin::Package);
        assert_eq!(known, Known::default());
    }

    #[test]
    fn a_name_without_a_class_is_that_of_any_class() {
        let run = Some(Purpose::Thread(Thread::Run));
        assert_eq!(purpose("threading.py", "Timer.run"), run);
        assert_eq!(purpose("threading.py", "run"), run);
        assert_eq!(purpose("asyncio/runners.py", "run"), Some(Purpose::Loop(Loop::AsyncioRun)));
        assert_eq!(
            purpose("asyncio/runners.py", "Runner.run"),
            Some(Purpose::Loop(Loop::RunnerRun))
        );
    }

    #[test]
    fn a_file_counts_before_its_folder() {
        let module = |path| Known::of(path, "main", Origin::Package).module;
        assert_eq!(module("gunicorn/ctl/server.py"), Some(Module::GunicornControl));
        assert_eq!(module("gunicorn/arbiter.py"), Some(Module::Gunicorn));
        assert_eq!(module("gunicorn.py"), None);
    }

    #[test]
    fn no_function_is_listed_twice() {
        let all = LIBRARIES.iter().map(|library| library.functions.len()).sum::<usize>();
        assert_eq!(FUNCTIONS.len(), all);
    }
}
