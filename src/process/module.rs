//! The files mapped into the target, and where their symbols and sections lie in its memory.
//!
//! A file is opened only when asked for, and only if it is the one that is mapped. The path in
//! the map is a hint: the file may have been replaced under a running service, may lie in another
//! mount namespace or below a chroot. Candidates in order:
//! 1. `/proc/PID/map_files/START-END`: the mapped file itself, even deleted; needs a capability.
//! 2. `/proc/PID/exe` for the main program: also the file itself.
//! 3. The path below the target's root, looked up by `openat2` with `RESOLVE_IN_ROOT`, so a
//!    symbolic link planted there cannot lead out; then the path below our own root.
//! 4. The target's memory, which lacks sections and static symbols.
//!
//! From 3. on, only a file with the mapping's device and inode counts, or one that begins with the
//! very bytes the target has mapped (overlayfs and btrfs show other device numbers). All are
//! looked up first and opened only if regular, so that no FIFO holds us and no device is touched.
//!
//! Measured on libpython3.12 (7 MB, not stripped): opening takes 12 µs (40 the first time), an
//! exported symbol 2 µs, the first section 4 µs, a symbol of the full table 350 µs.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, major, minor};

use super::Target;
use super::answer::in_time;
use super::elf::Elf;
use super::maps::{Mapping, bytes_of};
use super::proc::without_deleted;
use super::source::opened;
use crate::memory::{Address, ReadMemory};

/// A file of which at least the beginning is mapped into the target.
#[derive(Debug, Clone)]
pub struct MappedFile {
    /// The mapping of its beginning.
    pub first: Mapping,
    /// Whether any of it may be executed: true for programs and libraries, but for rare ones
    /// whose code was moved to huge pages.
    pub is_executable: bool,
    /// Whether it is the main program.
    pub is_main: bool,
}

impl MappedFile {
    /// The file's name without folders; bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> String {
        let name = self.first.path.as_deref().and_then(Path::file_name);
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Where its rules for unwinding are in `memory`: they are loaded with the code, so that no file
    /// is needed.
    pub fn unwinding(&self, memory: &dyn ReadMemory) -> Option<Unwinding> {
        let elf = Elf::headers(memory, self.first.start).ok()?;
        let bias = elf.bias(self.first.start)?;
        let header = shifted(elf.unwind_header()?, bias);
        let segments = elf.loaded().map(|segment| shifted(segment, bias)).collect();
        Some(Unwinding { bias, header, segments })
    }

    /// The files of a map: first the main program, then other code, then the rest.
    pub(super) fn all(maps: &[Mapping], is_main: impl Fn(&Mapping) -> bool) -> Vec<Self> {
        let mut files: Vec<Self> = Vec::new();
        for mapping in maps.iter().filter(|mapping| mapping.is_file()) {
            match files.last_mut() {
                // The parts of a file follow one another.
                Some(last) if mapping.offset != 0 && last.first.is_same_file(mapping) => {
                    last.is_executable |= mapping.is_executable;
                }
                _ if mapping.offset == 0 => files.push(Self {
                    first: mapping.clone(),
                    is_executable: mapping.is_executable,
                    is_main: is_main(mapping),
                }),
                _ => {}
            }
        }
        files.sort_by_key(|file| (!file.is_main, !file.is_executable));
        files
    }
}

/// Where in the target's memory a mapped file has the rules that stacks are unwound by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwinding {
    /// Distance between addresses in the target and addresses in the file.
    pub bias: u64,
    /// The table by which the rules of a function are found.
    pub header: Range<u64>,
    segments: Vec<Range<u64>>,
}

impl Unwinding {
    /// From an address to the end of what is loaded in one piece.
    pub fn from(&self, address: u64) -> Option<Range<u64>> {
        let segment = self.segments.iter().find(|segment| segment.contains(&address))?;
        Some(address..segment.end)
    }
}

/// A mapped file that could not be opened, and the candidates tried.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct NotOpened {
    /// The file, as in the map.
    pub path: PathBuf,
    /// What was tried and why it failed.
    pub reason: String,
}

/// An ELF file of the target.
#[derive(Debug)]
pub struct Module {
    /// The file, as the target sees it.
    pub path: PathBuf,
    /// Distance between addresses in the target and addresses in the file.
    pub bias: u64,
    /// The addresses its segments cover, zero-initialized memory included.
    pub range: Range<u64>,
    elf: Elf,
}

impl Module {
    fn new(path: PathBuf, elf: Elf, start: u64) -> Result<Self, &'static str> {
        let bias = elf.bias(start).ok_or("no segment holds its first page")?;
        let range = shifted(elf.range(), bias);
        Ok(Self { path, bias, range, elf })
    }

    /// The address of a symbol: an exported one, else any of the full table.
    pub fn symbol(&self, name: &str) -> Option<Address> {
        self.exported(name).or_else(|| self.elf.local(name).map(|value| self.address(value)))
    }

    /// The address of an exported symbol. Takes microseconds, where [`symbol`](Self::symbol) may
    /// take a millisecond to find that an unstripped file has no such symbol.
    pub fn exported(&self, name: &str) -> Option<Address> {
        self.elf.exported(name).map(|value| self.address(value))
    }

    /// The addresses of a loaded section, `.bss`.
    pub fn section(&self, name: &str) -> Option<Range<u64>> {
        self.elf.section(name).map(|range| shifted(range, self.bias))
    }

    /// The name of the function that an address lies in, as far as a symbol gives it.
    pub fn function_at(&self, address: Address) -> Option<String> {
        self.elf.function_at(address.0.wrapping_sub(self.bias))
    }

    /// The names of the libraries that the loader maps for it before it runs.
    pub fn needed(&self) -> Vec<String> {
        self.elf.needed()
    }

    /// Whether no file was found, and exported symbols are all there is.
    pub fn is_from_memory(&self) -> bool {
        self.elf.is_copy()
    }

    fn address(&self, value: u64) -> Address {
        Address(value.wrapping_add(self.bias))
    }
}

fn shifted(range: Range<u64>, bias: u64) -> Range<u64> {
    range.start.wrapping_add(bias)..range.end.wrapping_add(bias)
}

impl Target {
    /// The mapped files of a map of this target: first the main program, then other code, then
    /// the rest.
    pub fn files(&self, maps: &[Mapping]) -> Vec<MappedFile> {
        let exe = self.dir.look_up("exe").and_then(|exe| exe.metadata()).ok();
        let link = self.dir.link("exe").ok().map(|link| without_deleted(bytes_of(&link)).0);
        MappedFile::all(maps, |mapping| {
            exe.as_ref().is_some_and(|exe| is_same(exe, mapping))
                || link.is_some() && mapping.path == link
        })
    }

    /// Opens a mapped file for look-ups; `memory` is the last resort.
    ///
    /// # Errors
    /// When it is no ELF file or neither the file nor the memory could be read.
    pub fn module(&self, file: &MappedFile, memory: &dyn ReadMemory) -> Result<Module, NotOpened> {
        let start = file.first.start;
        let path = file.first.path.clone().unwrap_or_default();
        let mut tried = Vec::new();
        let seen = self.below_root(&path);
        for (name, candidate) in self.candidates(file, &path, &seen) {
            let opened = candidate().map_err(|error| error.to_string()).and_then(|found| {
                let elf = Elf::of_file(found.file).map_err(str::to_owned)?;
                if !found.is_sure && !has_same_start(&elf, &file.first, memory) {
                    return Err("another file".to_owned());
                }
                Module::new(seen.clone(), elf, start).map_err(str::to_owned)
            });
            match opened {
                Ok(module) => return Ok(module),
                Err(reason) => tried.push(format!("{name}: {reason}")),
            }
        }
        let copied = Elf::of_memory(memory, start).and_then(|elf| Module::new(seen, elf, start));
        copied.map_err(|reason| {
            tried.push(format!("memory: {reason}"));
            NotOpened { path, reason: tried.join(", ") }
        })
    }

    #[expect(clippy::type_complexity, reason = "a list of what to try, used once")]
    fn candidates<'a>(
        &'a self,
        file: &'a MappedFile,
        path: &'a Path,
        seen: &'a Path,
    ) -> Vec<(&'static str, Box<dyn Fn() -> io::Result<Found> + 'a>)> {
        let first = &file.first;
        let mut all: Vec<(_, Box<dyn Fn() -> io::Result<Found> + 'a>)> = vec![(
            "map_files",
            Box::new(|| {
                let name = format!("map_files/{:x}-{:x}", first.start, first.end);
                Ok(Found { is_sure: true, ..accept(self.dir.look_up(&name)?, first)? })
            }),
        )];
        if file.is_main {
            all.push((
                "exe",
                Box::new(|| {
                    Ok(Found { is_sure: true, ..accept(self.dir.look_up("exe")?, first)? })
                }),
            ));
        }
        if !first.is_deleted {
            all.push(("root", Box::new(|| accept(self.look_up(seen)?, first))));
        }
        // The path is as we would see it. After a replacement the new file is no use, but a
        // bind mount may still lead to the old one.
        all.push(("path", Box::new(|| accept(look_up_own(path)?, first))));
        all
    }

    /// Looks a path of the target up below its root, without opening it.
    fn look_up(&self, path: &Path) -> io::Result<File> {
        let (root, path) = (self.dir.look_up("root")?, path.to_owned());
        in_time(move || look_up_below(&root, &path))
    }
}

/// A file, and whether it is known to be the mapped one.
struct Found {
    file: File,
    is_sure: bool,
}

fn look_up_below(root: &File, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(root, path, how) {
        // Kernels before 5.6, and sandboxes that do not know the call. A link may then lead
        // elsewhere, but what it leads to still has to be the mapped file, and nothing of it is
        // shown: only addresses are looked up in it.
        Err(nix::Error::ENOSYS | nix::Error::EPERM) => {
            let relative = path.strip_prefix("/").unwrap_or(path);
            Ok(openat(root, relative, flags, Mode::empty())?.into())
        }
        found => Ok(found?.into()),
    }
}

fn look_up_own(path: &Path) -> io::Result<File> {
    let path = path.to_owned();
    in_time(move || Ok(open(&path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?.into()))
}

/// Opens what was looked up, if it is a regular file.
fn accept(looked_up: File, mapping: &Mapping) -> io::Result<Found> {
    let (facts, file) = in_time(move || {
        let facts = looked_up.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok((facts, opened(&looked_up)?))
    })?;
    Ok(Found { file, is_sure: is_same(&facts, mapping) })
}

fn is_same(facts: &Metadata, mapping: &Mapping) -> bool {
    let device = (u64::from(mapping.device.0), u64::from(mapping.device.1));
    facts.ino() == mapping.inode && device == (major(facts.dev()), minor(facts.dev()))
}

/// Whether the file begins with what is mapped: its headers, its build id, and as much of its
/// symbols' addresses as to tell it from another build where there is no build id.
fn has_same_start(elf: &Elf, first: &Mapping, memory: &dyn ReadMemory) -> bool {
    // Exported symbols of a libpython end at 110 KiB. Behind the file's end there is no memory.
    let mapped = first.end.saturating_sub(first.start);
    let len = mapped.min(elf.file_len()).min(128 * 1024);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    !first.is_writable
        && memory.read(Address(first.start), &mut bytes).is_ok()
        && elf.starts_with(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Fault, ReadStats};
    use std::os::unix::fs::FileExt;

    /// Our own memory.
    #[derive(Debug)]
    struct Own(File);

    impl ReadMemory for Own {
        fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
            let fault = Fault::unmapped(at, into.len() as u64);
            self.0.read_exact_at(into, at.0).map_err(|_error| fault)
        }

        fn stats(&self) -> ReadStats {
            ReadStats::default()
        }
    }

    #[test]
    fn file_and_memory_agree() {
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let memory = Own(File::open("/proc/self/mem").unwrap());
        let files = target.files(&target.maps().unwrap());
        assert!(files[0].is_main && files[0].is_executable);
        let main = target.module(&files[0], &memory).unwrap();
        assert_eq!(main.path, std::env::current_exe().unwrap());
        let mut agreed = 0;
        for file in files.iter().filter(|file| file.is_executable) {
            let module = target.module(file, &memory).unwrap();
            assert!(!module.is_from_memory());
            let copy = Elf::of_memory(&memory, file.first.start).unwrap();
            let copy = Module::new(PathBuf::new(), copy, file.first.start).unwrap();
            assert_eq!((module.bias, &module.range), (copy.bias, &copy.range));
            for name in ["malloc", "environ", "main", "_r_debug", "no_such_symbol"] {
                assert_eq!(module.exported(name), copy.exported(name), "{name} of {file:?}");
                agreed += usize::from(copy.exported(name).is_some());
            }
            assert!(copy.is_from_memory() && copy.section(".text").is_none());
        }
        assert!(agreed > 0 || cfg!(target_env = "musl"));
    }

    #[test]
    fn each_way_to_a_file_leads_to_it() {
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let files = target.files(&target.maps().unwrap());
        let path = files[0].first.path.clone().unwrap();
        let below_root = target.look_up(&path).unwrap();
        assert!(accept(below_root.try_clone().unwrap(), &files[0].first).unwrap().is_sure);
        assert!(accept(look_up_own(&path).unwrap(), &files[0].first).unwrap().is_sure);
        let other = Mapping { inode: 1, ..files[0].first.clone() };
        assert!(!accept(below_root.try_clone().unwrap(), &other).unwrap().is_sure);
        assert!(accept(look_up_own(Path::new("/dev/null")).unwrap(), &other).is_err());
    }

    #[test]
    fn parts_of_a_file_belong_together() {
        let mapping = |start: u64, offset, inode, is_executable| Mapping {
            start,
            end: start + 0x1000,
            is_readable: true,
            is_writable: false,
            is_executable,
            is_shared: false,
            offset,
            device: (1, 2),
            inode,
            path: Some(PathBuf::from(format!("/file{inode}"))),
            is_deleted: false,
        };
        let maps = [
            mapping(0x1000, 0, 1, false),
            mapping(0x3000, 0, 2, false),
            mapping(0x4000, 0x1000, 2, true),
            mapping(0x5000, 0x1000, 3, true),
            mapping(0x6000, 0, 4, true),
        ];
        let files = MappedFile::all(&maps, |mapping| mapping.inode == 4);
        let found: Vec<_> = files.iter().map(|file| (file.name(), file.is_executable)).collect();
        let expected = [("file4", true), ("file2", true), ("file1", false)];
        assert_eq!(found, expected.map(|(name, is_executable)| (name.to_owned(), is_executable)));
    }
}
