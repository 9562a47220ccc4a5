//! Symbols and sections of one ELF file, looked up by name.
//!
//! Reads only what a question needs, straight from the file: the first page when opened, five
//! small reads for a symbol by the GNU hash table, the section headers when first asked for a
//! section. (Of 1,800 exported symbols of a libpython, attaching asks for a handful.) The headers'
//! shapes and the hashes are those of the `object` crate. Its own look-up wants section headers, which
//! a copy has none of, and whole tables.
//!
//! Where no file can be had, the same tables are copied from the target's memory; they hold
//! exported symbols but no sections. Every count and size has a cap. A file that lies makes
//! symbols absent or places them wrongly; who uses an address checks what is there.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use object::LittleEndian as Le;
use object::elf::{
    self, DynamicTag, FileHeader64, GnuHashHeader, HashHeader, ProgramHeader64, ProgramType,
    SectionHeader64, SectionType, Sym64,
};
use object::pod::{self, Pod};

use crate::memory::{Address, PAGE, ReadMemory};

/// Linked files have about a dozen.
const MAX_SEGMENTS: u16 = 256;
/// Linked files have about 40; only object files have one for each function.
const MAX_SECTIONS: u16 = 4096;
/// Linked files have about 30 entries of 16 bytes.
const MAX_DYNAMIC: u64 = 64 * 1024;
/// Strings of the full table that end with a name: itself, and a few longer ones.
const MAX_PLACES: usize = 64;
/// No file name is longer; behind the strings there is always more than this in a linked file.
const MAX_NAME: u64 = 256;
/// Names of symbols of C++ and Rust are long; of longer ones the beginning is enough.
const MAX_SYMBOL: usize = 512;
/// Good hash tables have one or two symbols in a chain.
const MAX_CHAIN: u32 = 4096;
/// The symbols of a debug build of a very large program that embeds Python.
const MAX_TABLE: u64 = 256 * 1024 * 1024;
/// The start of a library up to the end of its dynamic tables, as copied from memory.
const MAX_COPY: u64 = 32 * 1024 * 1024;

/// Where the bytes of the file come from.
#[derive(Debug)]
enum Source {
    File(File),
    /// `(offset in the file, bytes)`, copied from memory.
    Copy(Vec<(u64, Vec<u8>)>),
}

impl Source {
    fn fill(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        match self {
            Self::File(file) => file.read_exact_at(into, offset).ok(),
            Self::Copy(parts) => parts.iter().find_map(|(start, bytes)| {
                let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
                into.copy_from_slice(bytes.get(from..from.checked_add(into.len())?)?);
                Some(())
            }),
        }
    }

    fn bytes(&self, offset: u64, len: u64, cap: u64) -> Option<Vec<u8>> {
        if len > cap {
            return None;
        }
        if let Self::File(file) = self
            && len > PAGE
        {
            // Not to reserve memory for what a broken header promises and the file has not.
            let end = offset.checked_add(len)?;
            file.metadata().ok().filter(|file| end <= file.len())?;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.fill(offset, &mut bytes)?;
        Some(bytes)
    }

    /// A structure of at most 64 bytes.
    fn pod<T: Pod + Copy>(&self, offset: u64) -> Option<T> {
        let mut buffer = [0; 64];
        let buffer = buffer.get_mut(..size_of::<T>())?;
        self.fill(offset, buffer)?;
        pod::from_bytes(buffer).ok().map(|(value, _)| *value)
    }

    fn u32(&self, offset: u64) -> Option<u32> {
        self.pod::<[u8; 4]>(offset).map(u32::from_le_bytes)
    }
}

/// `PT_LOAD`, `PT_DYNAMIC` or `PT_GNU_EH_FRAME`.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: ProgramType,
    offset: u64,
    vaddr: u64,
    filesz: u64,
    memsz: u64,
}

#[derive(Debug)]
struct Section {
    name: Vec<u8>,
    kind: SectionType,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

/// The dynamic tables' places in the file.
#[derive(Debug)]
struct Dynamic {
    symbols: u64,
    strings: u64,
    gnu_hash: Option<u64>,
    hash: Option<u64>,
}

/// An ELF file, opened or copied. Addresses that it answers are as linked, without the bias.
#[derive(Debug)]
pub(super) struct Elf {
    source: Source,
    segments: Vec<Segment>,
    header: FileHeader64<Le>,
    /// What a loader may have added to the addresses in the dynamic section.
    relocated_by: u64,
    sections: OnceLock<Vec<Section>>,
    dynamic: OnceLock<Option<Dynamic>>,
    functions: OnceLock<Vec<Function>>,
}

/// A function that a symbol names; of several names for one there is one each.
#[derive(Debug)]
struct Function {
    start: u64,
    size: u64,
    /// Where in the file its name is.
    name: u64,
}

impl Elf {
    /// Reads the headers of a file.
    pub(super) fn of_file(file: File) -> Result<Self, &'static str> {
        Self::parse(Source::File(file))
    }

    /// Reads the headers alone from the memory at `start`, where the file's first page is mapped.
    pub(super) fn headers(memory: &dyn ReadMemory, start: u64) -> Result<Self, &'static str> {
        let mut page = vec![0; 4096];
        memory.read(Address(start), &mut page).or(Err("its first page cannot be read"))?;
        Self::parse(Source::Copy(vec![(0, page)]))
    }

    /// Copies what the dynamic tables need from the memory at `start`, where the file's first
    /// page is mapped.
    pub(super) fn of_memory(memory: &dyn ReadMemory, start: u64) -> Result<Self, &'static str> {
        let mut elf = Self::headers(memory, start)?;
        let bias = elf.bias(start).ok_or("no segment holds its first page")?;
        elf.relocated_by = bias;
        let dynamic =
            elf.segments(elf::PT_DYNAMIC).next().copied().ok_or("it has no dynamic section")?;
        elf.copy(memory, bias, dynamic, MAX_DYNAMIC);
        let tables = elf.find_dynamic().ok_or("its dynamic section is not believable")?;
        let places = [Some(tables.symbols), Some(tables.strings), tables.gnu_hash, tables.hash];
        let loads: Vec<_> = elf
            .segments(elf::PT_LOAD)
            .filter(|segment| places.iter().flatten().any(|place| segment.has_offset(*place)))
            .copied()
            .collect();
        for segment in loads {
            elf.copy(memory, bias, segment, MAX_COPY);
        }
        Ok(elf)
    }

    fn parse(source: Source) -> Result<Self, &'static str> {
        let header: FileHeader64<Le> = source.pod(0).ok_or("its header cannot be read")?;
        let ident = header.e_ident;
        if ident.magic != elf::ELFMAG {
            return Err("it is no ELF file");
        }
        if ident.class != elf::ELFCLASS64 || ident.data != elf::ELFDATA2LSB {
            return Err("it is not for a 64 bit little endian machine");
        }
        let count = header.e_phnum.get(Le).min(MAX_SEGMENTS);
        let mut segments = Vec::with_capacity(16);
        let table = source
            .bytes(header.e_phoff.get(Le), u64::from(count) * 56, u64::MAX)
            .ok_or("its program headers cannot be read")?;
        for raw in table.chunks_exact(56) {
            let Ok((raw, _)) = pod::from_bytes::<ProgramHeader64<Le>>(raw) else { continue };
            let kind = raw.p_type.get(Le);
            if [elf::PT_LOAD, elf::PT_DYNAMIC, elf::PT_GNU_EH_FRAME].contains(&kind) {
                segments.push(Segment {
                    kind,
                    offset: raw.p_offset.get(Le),
                    vaddr: raw.p_vaddr.get(Le),
                    filesz: raw.p_filesz.get(Le),
                    memsz: raw.p_memsz.get(Le),
                });
            }
        }
        Ok(Self {
            source,
            segments,
            header,
            relocated_by: 0,
            sections: OnceLock::new(),
            dynamic: OnceLock::new(),
            functions: OnceLock::new(),
        })
    }

    fn segments(&self, kind: ProgramType) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.kind == kind)
    }

    fn copy(&mut self, memory: &dyn ReadMemory, bias: u64, segment: Segment, cap: u64) {
        let start = segment.vaddr.wrapping_add(bias);
        let len = usize::try_from(segment.filesz.min(cap)).unwrap_or(0);
        let mut bytes = vec![0; len];
        // In steps, so that a hole costs only what lies behind it.
        let mut done = 0_usize;
        for part in bytes.chunks_mut(64 * 1024) {
            if memory.read(Address(start.wrapping_add(done as u64)), part).is_err() {
                break;
            }
            done = done.saturating_add(part.len());
        }
        bytes.truncate(done);
        if let Source::Copy(parts) = &mut self.source {
            parts.push((segment.offset, bytes));
        }
    }

    /// Whether sections and non-exported symbols cannot be known.
    pub(super) fn is_copy(&self) -> bool {
        matches!(self.source, Source::Copy(_))
    }

    /// The file's length; zero for a copy.
    pub(super) fn file_len(&self) -> u64 {
        match &self.source {
            Source::File(file) => file.metadata().map_or(0, |file| file.len()),
            Source::Copy(_) => 0,
        }
    }

    /// Whether the file begins with these bytes, for a comparison with the memory they are mapped to.
    pub(super) fn starts_with(&self, bytes: &[u8]) -> bool {
        let mut own = vec![0; bytes.len()];
        self.source.fill(0, &mut own).is_some() && own == bytes
    }

    /// The distance between where the file is mapped and where it was linked to be.
    ///
    /// `start` is where its offset 0 is mapped. Main programs that are not position-independent
    /// have bias 0 and a first address of 0x400000.
    pub(super) fn bias(&self, start: u64) -> Option<u64> {
        let first = self.segments(elf::PT_LOAD).find(|segment| segment.offset < PAGE)?;
        Some(start.wrapping_sub(first.vaddr.wrapping_sub(first.offset) & !(PAGE - 1)))
    }

    /// The addresses between the first and the last segment.
    pub(super) fn range(&self) -> Range<u64> {
        let start = self.segments(elf::PT_LOAD).map(|segment| segment.vaddr).min().unwrap_or(0);
        let end = self
            .segments(elf::PT_LOAD)
            .map(|segment| segment.vaddr.saturating_add(segment.memsz))
            .max()
            .unwrap_or(0);
        start..end.max(start)
    }

    /// The addresses of the table by which the rules are found that a function is unwound by.
    pub(super) fn unwind_header(&self) -> Option<Range<u64>> {
        let segment = self.segments(elf::PT_GNU_EH_FRAME).next()?;
        Some(segment.vaddr..segment.vaddr.checked_add(segment.filesz)?)
    }

    /// The addresses of each segment, as far as they come from the file.
    pub(super) fn loaded(&self) -> impl Iterator<Item = Range<u64>> {
        let segments = self.segments(elf::PT_LOAD);
        segments.map(|segment| segment.vaddr..segment.vaddr.saturating_add(segment.filesz))
    }

    /// The offset in the file of something at an address.
    fn offset_of(&self, vaddr: u64) -> Option<u64> {
        let segment = self.segments(elf::PT_LOAD).find(|segment| {
            vaddr.checked_sub(segment.vaddr).is_some_and(|into| into < segment.filesz)
        })?;
        segment.offset.checked_add(vaddr.checked_sub(segment.vaddr)?)
    }

    fn find_dynamic(&self) -> Option<Dynamic> {
        let segment = self.segments(elf::PT_DYNAMIC).next()?;
        let raw = self.source.bytes(segment.offset, segment.filesz, MAX_DYNAMIC)?;
        let find = |tag: DynamicTag| {
            let entry = raw.chunks_exact(16).find_map(|entry| {
                let (entry, _) = pod::from_bytes::<elf::Dyn64<Le>>(entry).ok()?;
                (entry.d_tag.get(Le) == tag).then(|| entry.d_val.get(Le))
            })?;
            // glibc adds the bias to these entries in memory, musl does not.
            self.offset_of(entry.wrapping_sub(self.relocated_by)).or_else(|| self.offset_of(entry))
        };
        Some(Dynamic {
            symbols: find(elf::DT_SYMTAB)?,
            strings: find(elf::DT_STRTAB)?,
            gnu_hash: find(elf::DT_GNU_HASH),
            hash: find(elf::DT_HASH),
        })
    }

    /// The names of the libraries it is linked with; those of a copy are not known.
    pub(super) fn needed(&self) -> Vec<String> {
        let read = || {
            let segment = self.segments(elf::PT_DYNAMIC).next()?;
            let raw = self.source.bytes(segment.offset, segment.filesz, MAX_DYNAMIC)?;
            let strings = self.dynamic.get_or_init(|| self.find_dynamic()).as_ref()?.strings;
            let names = raw.chunks_exact(16).filter_map(|entry| {
                let (entry, _) = pod::from_bytes::<elf::Dyn64<Le>>(entry).ok()?;
                (entry.d_tag.get(Le) == elf::DT_NEEDED).then(|| entry.d_val.get(Le))
            });
            let name = |at: u64| {
                let name = self.source.bytes(strings.checked_add(at)?, MAX_NAME, MAX_NAME)?;
                let name = name.split(|&byte| byte == 0).next()?;
                Some(String::from_utf8_lossy(name).into_owned())
            };
            Some(names.filter_map(name).collect())
        };
        read().unwrap_or_default()
    }

    /// The address of an exported symbol.
    pub(super) fn exported(&self, name: &str) -> Option<u64> {
        let tables = self.dynamic.get_or_init(|| self.find_dynamic()).as_ref()?;
        match (tables.gnu_hash, tables.hash) {
            (Some(at), _) => self.by_gnu_hash(tables, at, name),
            (None, Some(at)) => self.by_hash(tables, at, name),
            (None, None) => None,
        }
    }

    /// ```text
    /// [ buckets: u32, first: u32, blooms: u32, shift: u32 | bloom: u64 × blooms
    /// | bucket: u32 × buckets | hash: u32 for each symbol from `first` on, bit 0 ends a chain ]
    /// ```
    fn by_gnu_hash(&self, tables: &Dynamic, at: u64, name: &str) -> Option<u64> {
        let hash = elf::gnu_hash(name.as_bytes());
        let head: GnuHashHeader<Le> = self.source.pod(at)?;
        let (buckets, first) = (head.bucket_count.get(Le), head.symbol_base.get(Le));
        let blooms = head.bloom_count.get(Le);
        let table = at.checked_add(16 + 8 * u64::from(blooms))?;
        let bucket = hash.checked_rem(buckets)?;
        let start = self.source.u32(table.checked_add(4 * u64::from(bucket))?)?;
        let chains = table.checked_add(4 * u64::from(buckets))?;
        for index in start..start.saturating_add(MAX_CHAIN) {
            let value =
                self.source.u32(chains.checked_add(4 * u64::from(index.checked_sub(first)?))?)?;
            if value | 1 == hash | 1
                && let Some(address) = self.dynamic_symbol(tables, index, name)
            {
                return Some(address);
            }
            if value & 1 != 0 {
                break;
            }
        }
        None
    }

    /// `[ buckets: u32, chains: u32 | bucket: u32 × buckets | next: u32 × chains ]`
    fn by_hash(&self, tables: &Dynamic, at: u64, name: &str) -> Option<u64> {
        let head: HashHeader<Le> = self.source.pod(at)?;
        let (buckets, count) = (head.bucket_count.get(Le), head.chain_count.get(Le));
        let table = at.checked_add(8)?;
        let bucket = elf::hash(name.as_bytes()).checked_rem(buckets)?;
        let mut index = self.source.u32(table.checked_add(4 * u64::from(bucket))?)?;
        let chains = table.checked_add(4 * u64::from(buckets))?;
        for _ in 0..MAX_CHAIN {
            if index == 0 || index >= count {
                break;
            }
            if let Some(address) = self.dynamic_symbol(tables, index, name) {
                return Some(address);
            }
            index = self.source.u32(chains.checked_add(4 * u64::from(index))?)?;
        }
        None
    }

    fn dynamic_symbol(&self, tables: &Dynamic, index: u32, name: &str) -> Option<u64> {
        let symbol: Sym64<Le> =
            self.source.pod(tables.symbols.checked_add(24 * u64::from(index))?)?;
        let at = tables.strings.checked_add(u64::from(symbol.st_name.get(Le)))?;
        let own = self.source.bytes(at, name.len() as u64 + 1, 4096)?;
        let is_same = own.strip_suffix(b"\0") == Some(name.as_bytes());
        is_same.then(|| value_of(&symbol)).flatten()
    }

    fn sections(&self) -> &[Section] {
        self.sections.get_or_init(|| self.read_sections().unwrap_or_default())
    }

    fn read_sections(&self) -> Option<Vec<Section>> {
        if self.is_copy() || self.header.e_shnum.get(Le) > MAX_SECTIONS {
            return None;
        }
        let len = u64::from(self.header.e_shnum.get(Le)) * 64;
        let table = self.source.bytes(self.header.e_shoff.get(Le), len, u64::MAX)?;
        let headers: Vec<_> = table
            .chunks_exact(64)
            .filter_map(|raw| pod::from_bytes::<SectionHeader64<Le>>(raw).ok())
            .map(|(header, _)| header)
            .collect();
        let names = headers.get(usize::from(self.header.e_shstrndx.get(Le).0))?;
        let names = self.source.bytes(names.sh_offset.get(Le), names.sh_size.get(Le), 1 << 20)?;
        let name_at = |at: u32| {
            let name = names.get(usize::try_from(at).ok()?..)?;
            name.split(|&byte| byte == 0).next().map(<[u8]>::to_vec)
        };
        let of = |header: &&SectionHeader64<Le>| Section {
            name: name_at(header.sh_name.get(Le)).unwrap_or_default(),
            kind: header.sh_type.get(Le),
            address: header.sh_addr.get(Le),
            offset: header.sh_offset.get(Le),
            size: header.sh_size.get(Le),
            link: header.sh_link.get(Le),
        };
        Some(headers.iter().map(of).collect())
    }

    /// The addresses of a section that is loaded into memory.
    pub(super) fn section(&self, name: &str) -> Option<Range<u64>> {
        let section = self.sections().iter().find(|section| {
            section.name == name.as_bytes() && section.address != 0 && section.size != 0
        })?;
        Some(section.address..section.address.checked_add(section.size)?)
    }

    /// The address of a symbol of the full table, which holds static ones too; stripped files
    /// have none.
    pub(super) fn local(&self, name: &str) -> Option<u64> {
        let sections = self.sections();
        let table = sections.iter().find(|section| section.kind == elf::SHT_SYMTAB)?;
        let strings = sections.get(usize::try_from(table.link).ok()?)?;
        let strings = self.source.bytes(strings.offset, strings.size, MAX_TABLE)?;
        // Linkers let a name end inside a longer one, so each string that ends so is a candidate.
        let mut places = Vec::new();
        let mut at = 0_usize;
        for string in strings.split(|&byte| byte == 0) {
            if string.ends_with(name.as_bytes()) {
                let place = at.saturating_add(string.len()).saturating_sub(name.len());
                places.push(u32::try_from(place).ok()?);
                if places.len() == MAX_PLACES {
                    break;
                }
            }
            at = at.saturating_add(string.len()).saturating_add(1);
        }
        if places.is_empty() {
            return None;
        }
        let symbols = self.source.bytes(table.offset, table.size, MAX_TABLE)?;
        symbols.chunks_exact(24).find_map(|raw| {
            let (symbol, _) = pod::from_bytes::<Sym64<Le>>(raw).ok()?;
            places.contains(&symbol.st_name.get(Le)).then(|| value_of(symbol)).flatten()
        })
    }

    /// The name of the function that an address lies in: of several the plainest, `poll` rather than
    /// `__poll`. A copy knows none.
    pub(super) fn function_at(&self, vaddr: u64) -> Option<String> {
        let functions = self.functions.get_or_init(|| self.read_functions());
        let end = functions.partition_point(|function| function.start <= vaddr);
        let before = functions.get(..end)?;
        let start = before.last()?.start;
        let names = before.iter().rev().take_while(|function| function.start == start);
        let names = names
            .filter(|function| vaddr.wrapping_sub(function.start) < function.size)
            .filter_map(|function| self.name_at(function.name));
        let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
        names.min_by_key(|name| (underscores(name), name.len(), name.clone()))
    }

    /// The functions of the full table and of the exported ones, by address.
    fn read_functions(&self) -> Vec<Function> {
        let sections = self.sections();
        let kinds = [elf::SHT_SYMTAB, elf::SHT_DYNSYM];
        let mut functions = Vec::new();
        for table in sections.iter().filter(|section| kinds.contains(&section.kind)) {
            let strings = usize::try_from(table.link).ok().and_then(|link| sections.get(link));
            let symbols = self.source.bytes(table.offset, table.size, MAX_TABLE);
            let Some((strings, symbols)) = strings.zip(symbols) else { continue };
            functions.extend(symbols.chunks_exact(24).filter_map(|raw| {
                let (symbol, _) = pod::from_bytes::<Sym64<Le>>(raw).ok()?;
                let kind = symbol.st_info.st_type();
                let is_function = kind == elf::STT_FUNC || kind == elf::STT_GNU_IFUNC;
                let start = value_of(symbol).filter(|_| is_function)?;
                let name = strings.offset.checked_add(u64::from(symbol.st_name.get(Le)))?;
                Some(Function { start, size: symbol.st_size.get(Le), name })
            }));
        }
        functions.sort_unstable_by_key(|function| function.start);
        functions
    }

    /// A symbol's name without the version that linkers put behind it.
    fn name_at(&self, offset: u64) -> Option<String> {
        let mut bytes = vec![0; MAX_SYMBOL];
        let Source::File(file) = &self.source else { return None };
        let len = file.read_at(&mut bytes, offset).ok()?;
        let name = bytes.get(..len)?.split(|&byte| byte == 0 || byte == b'@').next()?;
        Some(String::from_utf8_lossy(name).into_owned()).filter(|name| !name.is_empty())
    }
}

impl Segment {
    fn has_offset(&self, offset: u64) -> bool {
        offset.checked_sub(self.offset).is_some_and(|into| into < self.filesz)
    }
}

/// The symbol's address, if it is defined in this file and means a place in memory.
fn value_of(symbol: &Sym64<Le>) -> Option<u64> {
    let section = symbol.st_shndx.get(Le);
    let is_place = section != elf::SHN_UNDEF
        && section != elf::SHN_ABS
        && symbol.st_info.st_type() != elf::STT_TLS;
    is_place.then(|| symbol.st_value.get(Le))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Elf {
        Elf::of_file(File::open("/proc/self/exe").unwrap()).unwrap()
    }

    #[test]
    fn sections_and_symbols_of_ourselves() {
        let elf = own();
        let text = elf.section(".text").unwrap();
        assert!(!text.is_empty() && elf.range().start <= text.start && text.end <= elf.range().end);
        assert!(elf.section(".no-such-section").is_none());
        let main = elf.local("main").unwrap();
        assert!(text.contains(&main));
        assert_eq!(elf.function_at(main).as_deref(), Some("main"));
        assert_eq!(elf.function_at(main + 1).as_deref(), Some("main"));
        assert_eq!(elf.function_at(1), None);
        let header = elf.unwind_header().unwrap();
        let mut segments = elf.loaded();
        assert!(segments.any(|it| it.start <= header.start && header.end <= it.end));
        assert!(!header.is_empty());
        let needed = elf.needed();
        assert!(needed.iter().any(|name| name == "libc.so.6") || cfg!(target_env = "musl"));
        assert_eq!(elf.exported("no_such_symbol"), None);
        assert_eq!(elf.local("no_such_symbol"), None);
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in
            [vec![], vec![0; 4096], b"\x7fELF".to_vec(), [b"\x7fELF", &[9; 60][..]].concat()]
        {
            assert!(Elf::parse(Source::Copy(vec![(0, bytes)])).is_err());
        }
    }

    /// Each byte of the headers replaced by others: answers may differ, nothing panics or hangs.
    #[test]
    fn broken_headers_end_well() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        let dynamic = own().segments(elf::PT_DYNAMIC).next().copied().unwrap();
        let from = usize::try_from(dynamic.offset).unwrap();
        let to = from + usize::try_from(dynamic.filesz).unwrap();
        let (start, table) = (file[..64 * 1024].to_vec(), file[from..to].to_vec());
        let look_up = |start: Vec<u8>, table: Vec<u8>| {
            let source = Source::Copy(vec![(0, start), (dynamic.offset, table)]);
            let _ = Elf::parse(source).map(|elf| (elf.exported("main"), elf.range(), elf.bias(1)));
        };
        for value in [0, 0xff] {
            for at in 0..1024 {
                let mut broken = start.clone();
                broken[at] = value;
                look_up(broken, table.clone());
            }
            for at in 0..table.len() {
                let mut broken = table.clone();
                broken[at] = value;
                look_up(start.clone(), broken);
            }
        }
    }
}
