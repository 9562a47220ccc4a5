//! Where the standard library of a target lies, and what lies in it.

use std::sync::Arc;

/// Folders of installed packages, wherever they are.
const PACKAGES: [&str; 2] = ["/site-packages/", "/dist-packages/"];

/// The standard library of a target, as the code objects of its own `asyncio` say; as paths look
/// where nothing was read of these.
///
/// What `co_filename` says counts, for frames are told by it: it may be in a zip file, or relative
/// in a frozen program, and need not be where the module's `__file__` is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Libraries {
    /// The folder of asyncio with a `/` at its end.
    asyncio: Option<Arc<str>>,
}

impl Libraries {
    /// As the file of a function that `asyncio.tasks` has says; `None` if it is not asyncio's.
    pub fn of_tasks(file: &str) -> Option<Self> {
        let folder = file.strip_suffix("tasks.py")?;
        let is_asyncio = folder == "asyncio/" || folder.ends_with("/asyncio/");
        is_asyncio.then(|| Self { asyncio: Some(folder.into()) })
    }

    /// Which file of asyncio's own it is: `locks.py`.
    pub fn asyncio<'f>(&self, file: &'f str) -> Option<&'f str> {
        match &self.asyncio {
            Some(folder) => file.strip_prefix(&**folder),
            None => by_path(file)?.strip_prefix("asyncio/"),
        }
    }

    /// Which file of the standard library it is: `concurrent/futures/thread.py`.
    pub fn stdlib<'f>(&self, file: &'f str) -> Option<&'f str> {
        let Some(folder) = &self.asyncio else { return by_path(file) };
        let rest = file.strip_prefix(folder.strip_suffix("asyncio/")?)?;
        // The folder of the packages lies in that of the library.
        let is_package = PACKAGES.iter().any(|part| rest.starts_with(part.trim_start_matches('/')));
        (!is_package).then_some(rest)
    }
}

/// The part of a path below the folder of a standard library, as paths look.
fn by_path(file: &str) -> Option<&str> {
    let is_package = PACKAGES.iter().any(|part| file.contains(part));
    let rest = if is_package { None } else { below_library(file) };
    // Relative names are those of frozen programs.
    rest.or_else(|| file.starts_with("asyncio/").then_some(file))
}

/// The part of a path below `lib/python3.12/` or its like; `None` if it is in no such folder.
pub fn below_library(path: &str) -> Option<&str> {
    path.rmatch_indices("/python").find_map(|(at, mark)| {
        let (version, rest) = path.get(at + mark.len()..)?.split_once('/')?;
        let head = path.get(..at)?;
        let is_library = ["/lib", "/lib64", "/Lib"].iter().any(|folder| head.ends_with(folder));
        let version = version.strip_suffix(".zip").unwrap_or(version);
        let version = version.trim_end_matches(['t', 'd']);
        let is_version = !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        (is_library && is_version).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_says_where_its_library_lies() {
        for folder in ["/usr/lib/python3.12", "/opt/app/base.zip", "/build/cpython/Lib"] {
            let libraries = Libraries::of_tasks(&format!("{folder}/asyncio/tasks.py")).unwrap();
            let file = |name: &str| format!("{folder}/{name}");
            assert_eq!(libraries.asyncio(&file("asyncio/locks.py")), Some("locks.py"));
            assert_eq!(libraries.stdlib(&file("queue.py")), Some("queue.py"));
            assert_eq!(libraries.asyncio(&file("site-packages/redis/asyncio/lock.py")), None);
            assert_eq!(libraries.stdlib(&file("site-packages/redis/asyncio/lock.py")), None);
            for own in ["/srv/orders-asyncio/locks.py", "/srv/app/lib/pythonic/queue.py"] {
                assert_eq!((libraries.asyncio(own), libraries.stdlib(own)), (None, None));
            }
        }
    }

    #[test]
    fn a_frozen_program_has_relative_names() {
        let libraries = Libraries::of_tasks("asyncio/tasks.py").unwrap();
        assert_eq!(libraries.asyncio("asyncio/locks.py"), Some("locks.py"));
        assert_eq!(libraries.asyncio("/srv/asyncio/locks.py"), None);
    }

    #[test]
    fn a_function_that_was_put_into_asyncio_does_not_say_it() {
        assert_eq!(Libraries::of_tasks("/venv/site-packages/tracing/patched.py"), None);
        assert_eq!(Libraries::of_tasks("/srv/orders-asyncio/tasks.py"), None);
    }

    #[test]
    fn paths_say_it_where_nothing_was_read() {
        let libraries = Libraries::default();
        let of = |file| (libraries.asyncio(file), libraries.stdlib(file));
        let locks = (Some("locks.py"), Some("asyncio/locks.py"));
        assert_eq!(of("/usr/lib/python3.12/asyncio/locks.py"), locks);
        assert_eq!(of("/opt/lib/python312.zip/asyncio/locks.py"), locks);
        assert_eq!(of("asyncio/locks.py"), locks);
        for own in [
            "/srv/orders-asyncio/locks.py",
            "/srv/asyncio/locks.py",
            "/srv/lib/pythonic/asyncio/locks.py",
            "/venv/lib/python3.12/site-packages/redis/asyncio/lock.py",
            "/usr/lib/python3/dist-packages/redis/asyncio/lock.py",
            "locks.py",
        ] {
            assert_eq!(of(own), (None, None), "{own}");
        }
    }
}
