//! Finds `_PyRuntime` in a target and proves it.

use std::ops::{Range, RangeInclusive};

use super::Version;
use crate::error::{Error, Result};
use crate::layout::{Layout, SUPPORTED, debug_offsets};
use crate::memory::{Address, ReadMemory};
use crate::process::{MappedFile, Mapping, Symbols, System};
use crate::python::object::{Caches, Kind, Memory, Read, Reader, Unreadable};

/// The minor versions whose runtime does not begin with a table about itself.
const WITHOUT_TABLE: RangeInclusive<u8> = 8..=12;

/// How often the proof is tried on a target that makes threads and modules meanwhile.
const MAX_TRIES: usize = 10;

/// Initialized data of all files that is searched for a runtime: 5 ms. That of a Python has 2 MiB.
const MAX_SCAN: u64 = 64 << 20;
/// Tables in one piece of data that are looked at; there should be one in all.
const MAX_COOKIES: usize = 16;

/// A runtime that was found and proved.
#[derive(Debug, Clone)]
pub struct Located {
    /// `_PyRuntime`.
    pub runtime: Address,
    /// Its version.
    pub version: Version,
    /// Where its fields lie.
    pub layout: Layout,
    /// Whether this is a `Py_DEBUG` build.
    pub debug_build: Option<bool>,
    /// The file in which `_PyRuntime` was found.
    pub found_in: String,
    /// Where that file is mapped: CPython's own classes lie there.
    pub image: Option<Range<u64>>,
    /// Where the layout comes from, in words.
    pub layout_source: String,
    /// What the user has to know before any result.
    pub warnings: Vec<String>,
}

impl Located {
    /// Whether a word lies in `_PyRuntime`.
    pub fn is_in_runtime(&self, word: Address) -> bool {
        let end = self.runtime.0.saturating_add(self.layout.runtime.size);
        (self.runtime.0..end).contains(&word.0)
    }
}

/// Finds the runtime of `target`.
///
/// # Errors
/// `NotPython`, `UnsupportedVersion`, `RuntimeNotFound` or `NotInitialized`, as far as it got.
pub fn locate(target: &dyn System, memory: &Memory) -> Result<Located> {
    let mut maps = target.maps()?;
    let mut located = try_locate(target, memory, &maps);
    // While the loader maps libraries, they may be there only in part.
    for _ in 1..MAX_TRIES {
        if !matches!(located, Err(Error::RuntimeNotFound { .. } | Error::Memory { .. })) {
            break;
        }
        memory.clear();
        let later = target.maps()?;
        if later == maps {
            break;
        }
        maps = later;
        located = try_locate(target, memory, &maps);
    }
    located
}

fn try_locate(target: &dyn System, memory: &Memory, maps: &[Mapping]) -> Result<Located> {
    let pid = target.pid();
    let files = target.files(maps);
    let code = files.iter().filter(|file| file.is_executable);
    let hint = code.clone().find_map(|file| version_in(&file.name()));
    let mut is_loading = false;
    let found = match find_runtime(target, memory, maps, &files, &mut is_loading) {
        Some((runtime, module)) => Some((identify(memory, runtime, &*module, hint, pid)?, module)),
        None => find_table(target, memory, maps, &files).transpose()?,
    };
    let Some((mut located, module)) = found else {
        return Err(match hint {
            _ if is_loading || lacks_library(target, memory, &files) => {
                Error::NotInitialized { pid, phase: "starting" }
            }
            Some((3, 7..)) => Error::RuntimeNotFound {
                pid,
                reason: "no mapped file exports _PyRuntime or has a section .PyRuntime".to_owned(),
            },
            Some((major, minor)) => too_old(pid, format!("{major}.{minor}")),
            None => {
                // A PyPy may have any name, but not its library.
                let library = code.clone().find(|file| file.name().starts_with("libpypy"));
                let library = library.and_then(|file| file.first.path.as_ref());
                let exe = library.map(|path| path.display().to_string());
                let exe = exe.or_else(|| target.process().exe).unwrap_or_default();
                Error::NotPython { pid, exe }
            }
        });
    };
    located.found_in = module.path().display().to_string();
    located.image = image_of(maps, located.runtime);
    target.found_runtime(module.path(), located.runtime);
    if located.layout.thread.asyncio_tasks_head.is_some() {
        apply_asyncio_table(target, memory, &files, &*module, &mut located);
    }
    Ok(located)
}

/// Where the file is mapped that has the runtime: it lies there or, if it begins as zeros, behind.
fn image_of(maps: &[Mapping], runtime: Address) -> Option<Range<u64>> {
    let files = maps.iter().filter(|mapping| mapping.is_file());
    let last =
        files.clone().filter(|mapping| mapping.start <= runtime.0).max_by_key(|it| it.start)?;
    let parts = files.filter(|mapping| mapping.is_same_file(last)).map(Mapping::range);
    parts.reduce(|all, part| all.start.min(part.start)..all.end.max(part.end))
}

/// Whether the main program is linked with a libpython of which the loader has not mapped the code
/// yet.
fn lacks_library(target: &dyn System, memory: &Memory, files: &[MappedFile]) -> bool {
    let main = files.iter().find(|file| file.is_main);
    let module = main.and_then(|main| target.module(main, &memory.unnoted()));
    module.is_some_and(|module| {
        // The file may have a longer name than the one it is linked by.
        let code = || files.iter().filter(|file| file.is_executable);
        let is_mapped = |version| code().any(|file| library_version(&file.name()) == version);
        let needed = module.needed().into_iter().map(|name| library_version(&name));
        needed.into_iter().any(|version| version.is_some() && !is_mapped(version))
    })
}

fn too_old(pid: i32, version: String) -> Error {
    let reason = format!("the oldest supported version is 3.{}", SUPPORTED.start());
    Error::UnsupportedVersion { pid, version, reason }
}

/// `(3, 12)` from `python3.12`, `libpython3.12.so.1.0`.
fn version_in(name: &str) -> Option<(u8, u8)> {
    let rest = name.split_once("python")?.1;
    let (major, rest) = rest.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest.get(..digits)?.parse().ok()?))
}

fn library_version(name: &str) -> Option<(u8, u8)> {
    name.starts_with("libpython").then(|| version_in(name)).flatten()
}

/// Whether a file is one that holds Python's runtime as a rule: the main program, or one with
/// `python` in its name.
fn is_likely(file: &MappedFile) -> bool {
    file.is_main || file.name().contains("python")
}

/// The files that may hold the runtime, the likely ones first.
fn candidates(files: &[MappedFile]) -> impl Iterator<Item = &MappedFile> {
    let others = files.iter().filter(|file| file.is_executable && !is_likely(file));
    files.iter().filter(|file| is_likely(file)).chain(others)
}

/// The address of `_PyRuntime` and the file that has it.
///
/// A program that embeds Python under another name is found by asking every file with code.
///
/// The runtime lies in memory that may be written to. Where it does not, either a file is only
/// looked at, as by a debugger, or the loader is still about to put its parts in their places.
fn find_runtime(
    target: &dyn System,
    memory: &Memory,
    maps: &[Mapping],
    files: &[MappedFile],
    is_loading: &mut bool,
) -> Option<(Address, Box<dyn Symbols>)> {
    candidates(files).find_map(|file| {
        let module = target.module(file, &memory.unnoted())?;
        let section = || module.section(".PyRuntime").map(|range| Address(range.start));
        let runtime = module.exported("_PyRuntime").or_else(section)?;
        let is_in_place =
            maps.iter().any(|mapping| mapping.is_writable && mapping.range().contains(&runtime.0));
        *is_loading |= !is_in_place && file.is_executable;
        is_in_place.then_some((runtime, module))
    })
}

/// Looks for the table that `_PyRuntime` begins with from 3.13 on, where neither symbol nor section
/// is left: in the initialized data of each file. Nothing is said of what is no runtime after all.
fn find_table(
    target: &dyn System,
    memory: &Memory,
    maps: &[Mapping],
    files: &[MappedFile],
) -> Option<Result<(Located, Box<dyn Symbols>)>> {
    let mut left = MAX_SCAN;
    for file in candidates(files) {
        let data = maps.iter().filter(|mapping| {
            mapping.is_same_file(&file.first) && mapping.is_readable && mapping.is_writable
        });
        for mapping in data {
            let len = mapping.range().end - mapping.start;
            if len > left {
                return None;
            }
            left -= len;
            for at in cookies(memory, mapping.range()) {
                let Ok(table) = memory.vec(at, debug_offsets::TABLE_LEN) else { continue };
                let Some(head) = debug_offsets::head(&table) else { continue };
                match identify_by_table(memory, at, head, &table, target.pid()) {
                    Err(Error::RuntimeNotFound { .. } | Error::Memory { .. }) => {}
                    identified => {
                        let module = target.module(file, &memory.unnoted())?;
                        return Some(identified.map(|located| (located, module)));
                    }
                }
            }
        }
    }
    None
}

/// The places in a range at which a table may begin.
fn cookies(memory: &Memory, range: Range<u64>) -> Vec<Address> {
    const STEP: u64 = 1 << 20;
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    // Mappings begin at whole pages, so a cookie, which is aligned, lies in one step.
    for start in range.clone().step_by(1 << 20) {
        bytes.resize(usize::try_from(STEP.min(range.end - start)).unwrap_or(0), 0);
        if memory.unnoted().read(Address(start), &mut bytes).is_err() {
            continue;
        }
        let words = bytes.as_chunks::<8>().0.iter().zip((start..).step_by(8));
        let found = words.filter(|(word, _)| **word == debug_offsets::COOKIE);
        places.extend(found.map(|(_, at)| Address(at)).take(MAX_COOKIES));
    }
    places
}

/// Finds out the version and proves it.
fn identify(
    memory: &Memory,
    runtime: Address,
    module: &dyn Symbols,
    hint: Option<(u8, u8)>,
    pid: i32,
) -> Result<Located> {
    let table = memory
        .vec(runtime, debug_offsets::TABLE_LEN)
        .map_err(|fault| Error::Memory { wanted: "_PyRuntime", fault })?;
    if let Some(head) = debug_offsets::head(&table) {
        return identify_by_table(memory, runtime, head, &table, pid);
    }
    // 3.11 and 3.12 export their version, unless they are linked statically; else the proof tells
    // whether a guess was right.
    let exported = module.exported("Py_Version").and_then(|at| memory.u32(at).ok()).map(Version);
    let minors = match (exported, hint) {
        (Some(version), _) if version.major() == 3 => vec![version.minor()],
        (_, Some((major, minor))) if (major, minor) < (3, *SUPPORTED.start()) => {
            return Err(too_old(pid, format!("{major}.{minor}")));
        }
        (_, Some((_, hint))) => {
            let others = WITHOUT_TABLE.filter(|minor| *minor != hint);
            std::iter::once(hint).chain(others).collect()
        }
        _ => WITHOUT_TABLE.rev().collect(),
    };
    let mut first_error = None;
    for layout in minors.into_iter().filter_map(Layout::for_minor) {
        match prove(memory, runtime, &layout, pid) {
            Ok(proof) if proof.version.minor() == layout.minor => {
                return Ok(Located::new(runtime, layout, &proof, "table for this version"));
            }
            Ok(proof) => {
                let (minor, version) = (layout.minor, proof.version);
                let reason = format!("read with the layout of 3.{minor} it says {version}");
                first_error.get_or_insert(Error::RuntimeNotFound { pid, reason });
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    let reason = "no known layout fits".to_owned();
    Err(first_error.unwrap_or(Error::RuntimeNotFound { pid, reason }))
}

/// 3.13 and later: the runtime begins with a table about itself.
fn identify_by_table(
    memory: &Memory,
    runtime: Address,
    head: debug_offsets::Head,
    table: &[u8],
    pid: i32,
) -> Result<Located> {
    let version = Version(head.version);
    let minor = version.minor();
    if head.free_threaded {
        return Err(Error::UnsupportedVersion {
            pid,
            version: format!("{version} free-threaded"),
            reason: "free-threaded builds are not supported yet".to_owned(),
        });
    }
    let known = (version.major() == 3).then(|| Layout::for_minor(minor)).flatten();
    let mut layout = known.ok_or_else(|| too_old(pid, version.to_string()))?;
    debug_offsets::apply(&mut layout, table).map_err(|field| Error::UnsupportedVersion {
        pid,
        version: version.to_string(),
        reason: format!("its own table of offsets has an unbelievable {field}"),
    })?;
    let proof = prove(memory, runtime, &layout, pid)?;
    let mut located = Located::new(runtime, layout, &proof, "the target's own table");
    if minor > *SUPPORTED.end() {
        located.warnings.push(format!(
            "Python {version} is newer than what aiospy {} knows: it is read by its own table and \
             the layout of 3.{}; some results may be missing or wrong",
            env!("CARGO_PKG_VERSION"),
            SUPPORTED.end()
        ));
    }
    Ok(located)
}

impl Located {
    fn new(runtime: Address, layout: Layout, proof: &Proof, layout_source: &str) -> Self {
        Self {
            runtime,
            version: proof.version,
            layout,
            debug_build: proof.debug_build,
            found_in: String::new(),
            image: None,
            layout_source: layout_source.to_owned(),
            warnings: Vec::new(),
        }
    }

    /// Whether its interpreter is being taken down, or was.
    pub fn is_ending(&self, memory: &Memory) -> bool {
        is_ending(memory, self.runtime, &self.layout)
    }
}

/// What the runtime says of itself when read with a layout.
struct Proof {
    version: Version,
    debug_build: Option<bool>,
}

/// Reads `sys.hexversion` by way of interpreter and thread state.
fn prove(memory: &Memory, runtime: Address, layout: &Layout, pid: i32) -> Result<Proof> {
    let caches = Caches::default();
    let reader = Reader { memory, layout, caches: &caches };
    let mut reason = String::new();
    for _ in 0..MAX_TRIES {
        memory.clear();
        match try_prove(&reader, runtime) {
            Ok(Some(proof)) => return Ok(proof),
            Ok(None) => {
                let phase = if is_ending(memory, runtime, layout) { "ending" } else { "starting" };
                return Err(Error::NotInitialized { pid, phase });
            }
            Err(error) => reason = error.to_string(),
        }
    }
    if is_ending(memory, runtime, layout) {
        return Err(Error::NotInitialized { pid, phase: "ending" });
    }
    let reason = format!("with the layout of 3.{}: {reason}", layout.minor);
    Err(Error::RuntimeNotFound { pid, reason })
}

/// Whether the interpreter is being taken down, or was.
///
/// The runtime keeps the thread that does so for good, unless it is set up anew; modules are taken
/// away at some time after that. While the loader puts a library in its place, there may be any
/// number here, but none that the loader has made an address.
fn is_ending(memory: &Memory, runtime: Address, layout: &Layout) -> bool {
    let finalizing = runtime.offset(layout.runtime.finalizing);
    memory.forget(finalizing, 8);
    let is_there = |thread: Address| thread.0.is_multiple_of(8) && memory.pointer(thread).is_ok();
    memory.pointer(finalizing).is_ok_and(|thread| !thread.is_null() && is_there(thread))
}

/// `None` when the interpreter or its `sys` is not there yet, or not there any more.
fn try_prove(reader: &Reader<'_>, runtime: Address) -> Read<Option<Proof>> {
    if reader.pointer(runtime.offset(reader.layout.runtime.interpreters_main))?.is_none() {
        return Ok(None);
    }
    let interpreters = reader.interpreters(runtime)?;
    let Some(main) = interpreters.first() else { return Ok(None) };
    if reader.thread_states(main.at)?.is_empty() {
        return Err(Unreadable::bad(main.at, "list of threads"));
    }
    let Some(sys) = reader.module(main, "sys")? else { return Ok(None) };
    let Some(version) = reader.dict_get(sys, "hexversion")? else { return Ok(None) };
    let bad = || Unreadable::bad(version, "sys.hexversion");
    if reader.kind_of(version)? != Kind::Int {
        return Err(bad());
    }
    let version = u32::try_from(reader.int(version)?).ok().ok_or_else(bad)?;
    let flags = reader.dict_get(sys, "abiflags")?.and_then(|at| reader.name(at).ok());
    let debug_build = flags.map(|flags| flags.contains('d'));
    Ok(Some(Proof { version: Version(version), debug_build }))
}

/// 3.14 and later: `_asyncio` has a table of its own, in the main program, in libpython or in
/// `_asyncio*.so`.
fn apply_asyncio_table(
    target: &dyn System,
    memory: &Memory,
    files: &[MappedFile],
    module: &dyn Symbols,
    located: &mut Located,
) {
    const SECTION: &str = ".AsyncioDebug";
    let in_extension = || {
        let files = files.iter().filter(|file| file.name().starts_with("_asyncio"));
        let modules = files.filter_map(|file| target.module(file, &memory.unnoted()));
        modules.into_iter().find_map(|module| module.section(SECTION))
    };
    // Not loaded yet, or stripped of its sections: then the table for this version serves.
    let Some(section) = module.section(SECTION).or_else(in_extension) else { return };
    let mut table = [0; debug_offsets::ASYNCIO_TABLE_LEN];
    let applied = match memory.source().read(Address(section.start), &mut table) {
        Ok(()) => debug_offsets::apply_asyncio(&mut located.layout, &table),
        Err(_) => Err("section"),
    };
    match applied {
        Ok(()) => located.layout_source.push_str(" and that of _asyncio"),
        Err(field) => located.warnings.push(format!(
            "the table of _asyncio has an unbelievable {field}; the layout of 3.{} is used",
            located.layout.minor
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_file_names() {
        let cases = [
            ("python3.12", Some((3, 12))),
            ("libpython3.8.so.1.0", Some((3, 8))),
            ("libpython3.7m.so.1.0", Some((3, 7))),
            ("python2.7", Some((2, 7))),
            ("libpython3.14t.so", Some((3, 14))),
            ("python3", None),
            ("libssl.so.3", None),
        ];
        for (name, version) in cases {
            assert_eq!(version_in(name), version, "{name}");
        }
    }
}
