//! The lines of the program that frames are at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use aiospy::process::{Source, SourceFile};
use aiospy::snapshot::{Definition, Frame, Location, Origin, Snapshot};
use rustc_hash::{FxHashMap, FxHashSet};

use super::path;
use crate::io::page::{Line, Page, Style};

/// How many changed files are named.
const MAX_CHANGED: usize = 3;

/// Letters of one line that are shown.
const MAX_LINE: usize = 300;
/// Definitions in one file that are looked for in it.
const MAX_DEFINITIONS: usize = 16;
/// Lines from the first decorator to the `def`.
const MAX_DECORATORS: u32 = 200;

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where source files come from.
pub trait Files {
    /// The file that a code object calls `path`.
    fn file(&self, path: &str) -> SourceFile;
}

impl Files for Source {
    fn file(&self, path: &str) -> SourceFile {
        self.file(path)
    }
}

/// The lines of source files; none, when there is nothing to take them from.
pub struct Lines<'f> {
    files: Option<&'f dyn Files>,
    /// Whose code has to begin in them where it says.
    snapshot: Option<&'f Snapshot>,
    indexes: RefCell<FxHashMap<String, Option<Index>>>,
    changed: RefCell<BTreeSet<String>>,
}

/// A text with the places at which its lines begin.
struct Index {
    text: Arc<str>,
    starts: Vec<usize>,
    /// The lines that were asked for.
    asked: RefCell<BTreeSet<u32>>,
}

impl Index {
    fn of(text: Arc<str>) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        Self { text, starts, asked: RefCell::default() }
    }

    /// Whether code begins where it says: with its `def`, `class` or `lambda`, or a decorator and
    /// then these. What is made without such a word, as comprehensions are, may begin anywhere.
    fn defines(&self, definition: &Definition) -> bool {
        let name = definition.name.rsplit('.').next().unwrap_or_default();
        let line = |number| self.whole_line(number).map(str::trim_start);
        match name {
            "<lambda>" => line(definition.line).is_some_and(|line| line.contains("lambda")),
            _ if name.starts_with('<') => true,
            _ => {
                let defines = |line: &str| {
                    let rest = ["async def ", "def ", "class "].iter().find_map(|word| {
                        line.find(word).and_then(|at| line.get(at + word.len()..))
                    });
                    let after = rest.and_then(|rest| rest.trim_start().strip_prefix(name));
                    after.is_some_and(|after| !after.starts_with(is_of_name))
                };
                let first = line(definition.line);
                first.is_some_and(defines)
                    || first.is_some_and(|first| first.starts_with('@'))
                        && (1..=MAX_DECORATORS)
                            .filter_map(|by| line(definition.line.saturating_add(by)))
                            .any(defines)
            }
        }
    }

    fn line(&self, number: u32) -> Option<&str> {
        Some(self.whole_line(number)?.trim()).filter(|line| !line.is_empty())
    }

    fn whole_line(&self, number: u32) -> Option<&str> {
        self.asked.borrow_mut().insert(number);
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let start = *self.starts.get(at)?;
        let end = self.starts.get(at + 1).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..end)?.trim_end();
        // Code that was made or packed by a program may have lines of megabytes.
        Some(
            line.char_indices()
                .nth(MAX_LINE)
                .map_or(line, |(cut, _)| line.get(..cut).unwrap_or(line)),
        )
    }
}

impl<'f> Lines<'f> {
    /// The lines of `files`.
    pub fn of(files: Option<&'f dyn Files>) -> Self {
        Self { files, snapshot: None, indexes: RefCell::default(), changed: RefCell::default() }
    }

    /// The same, but for files in which the code of a snapshot does not begin where it has to:
    /// those are others, that only have the names.
    pub fn of_snapshot(files: Option<&'f dyn Files>, snapshot: &'f Snapshot) -> Self {
        Self { snapshot: Some(snapshot), ..Self::of(files) }
    }

    /// Whether a file is the one that its name was compiled from, as far as some of its code tells.
    fn is_what_runs(&self, file: &str, index: &Index) -> bool {
        let Some(snapshot) = self.snapshot else { return true };
        let frames = snapshot.tasks.iter().flat_map(|task| &task.frames);
        let frames = frames.chain(snapshot.threads.iter().flat_map(|thread| &thread.frames));
        let mut seen: FxHashSet<&Definition> = FxHashSet::default();
        let here = frames.map(|frame| &frame.location).filter(|at| *at.file == *file);
        let definitions = here.filter_map(|at| at.definition.as_ref());
        definitions
            .filter(|definition| seen.insert(definition))
            .take(MAX_DEFINITIONS)
            .all(|definition| index.defines(definition))
    }

    /// All lines that were asked for so far, by file and number.
    pub fn asked(&self) -> BTreeMap<String, BTreeMap<u32, String>> {
        let indexes = self.indexes.borrow();
        let known = indexes.iter().filter_map(|(file, index)| Some((file, index.as_ref()?)));
        known
            .map(|(file, index)| {
                let asked = index.asked.borrow().clone();
                let line = |number| Some((number, index.whole_line(number)?.to_owned()));
                (file.clone(), asked.into_iter().filter_map(line).collect())
            })
            .collect()
    }

    /// A line, without the blanks around it.
    pub fn line(&self, file: &str, number: u32) -> Option<String> {
        // What is aligned in the file needs no room here.
        self.with(file, |index| Some(index.line(number)?.replace('\t', " ")))
    }

    /// A line with some before and after it, each with its number, without the indentation that
    /// all of them have; none, if it cannot be had or is empty.
    pub fn around(&self, file: &str, number: u32, by: u32) -> Vec<(u32, String)> {
        let lines = self.with(file, |index| {
            index.line(number)?;
            let numbers = number.saturating_sub(by)..=number.saturating_add(by);
            let line = |number| Some((number, index.whole_line(number)?.replace('\t', "    ")));
            Some(numbers.filter_map(line).collect::<Vec<_>>())
        });
        let mut lines = lines.unwrap_or_default();
        // Blank lines at the ends say nothing.
        while lines.last().is_some_and(|(_, line)| line.is_empty()) {
            lines.pop();
        }
        let first = lines.iter().position(|(_, line)| !line.is_empty()).unwrap_or(0);
        lines.drain(..first);
        let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let least = lines.iter().filter(|(_, line)| !line.is_empty());
        let least = least.map(|(_, line)| indent(line)).min().unwrap_or(0);
        for (_, line) in &mut lines {
            line.drain(..least.min(indent(line)));
        }
        lines
    }

    /// What `look` finds in a file.
    fn with<T>(&self, file: &str, look: impl FnOnce(&Index) -> Option<T>) -> Option<T> {
        let files = self.files?;
        let mut indexes = self.indexes.borrow_mut();
        if !indexes.contains_key(file) {
            let index = match files.file(file) {
                SourceFile::Text(text) => {
                    let index = Index::of(text);
                    self.is_what_runs(file, &index).then_some(index)
                }
                SourceFile::Changed => {
                    self.changed.borrow_mut().insert(file.to_owned());
                    None
                }
                SourceFile::Absent => None,
            };
            indexes.insert(file.to_owned(), index);
        }
        look(indexes.get(file)?.as_ref()?)
    }

    /// Writes the line that a place is at, below it: `83 │ await self._pool.acquire()`.
    ///
    /// # Errors
    /// Those of the page.
    pub fn show(
        &self,
        page: &mut Page<'_>,
        margin: &str,
        file: &str,
        number: Option<u32>,
    ) -> io::Result<()> {
        let Some((number, line)) =
            number.and_then(|number| Some((number, self.line(file, number)?)))
        else {
            return Ok(());
        };
        let head = Line::new().with(Style::Dim, &format!("{margin}{number:>8} │ "));
        page.line(&head.with(Style::Code, &line))
    }

    /// Whether lines are missing because their files were changed since the process began.
    pub fn has_changed(&self) -> bool {
        !self.changed.borrow().is_empty()
    }

    /// Says which files were changed since the process began, so that none of their lines are
    /// shown.
    ///
    /// # Errors
    /// Those of the page.
    pub fn say_changed(&self, page: &mut Page<'_>) -> io::Result<()> {
        let changed = self.changed.borrow();
        if changed.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> =
            changed.iter().take(MAX_CHANGED).map(|file| path::short(file)).collect();
        if changed.len() > MAX_CHANGED {
            names.push("…");
        }
        let head = Line::new().with(Style::Dim, "no source lines, changed since the start: ");
        page.line(&head.with(Style::Dim, &names.join(", ")))
    }
}

/// The innermost frame of the program's own code that has a file; where there is none, of a
/// package's.
pub fn innermost_own(frames: &[Frame]) -> Option<usize> {
    let place = |origin| {
        let is_it = |at: &Location| at.origin == origin && at.has_file();
        frames.iter().rposition(|frame| is_it(&frame.location))
    };
    place(Origin::Own).or_else(|| place(Origin::Package))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample;

    #[test]
    fn a_line_is_found_by_its_number() {
        let files = sample::Sources::of(&[("a.py", "one\n\n  two\t2 \r\nthree")]);
        let lines = Lines::of(Some(&files));
        for (number, expected) in [
            (0, None),
            (1, Some("one")),
            (2, None),
            (3, Some("two 2")),
            (4, Some("three")),
            (5, None),
        ] {
            assert_eq!(lines.line("a.py", number).as_deref(), expected, "{number}");
        }
        assert_eq!(lines.line("b.py", 1), None);
        let around = |number, by| {
            let lines = lines.around("a.py", number, by).into_iter();
            lines.map(|(at, line)| format!("{at} {line}")).collect::<Vec<_>>()
        };
        assert_eq!(around(3, 1), ["3   two    2", "4 three"]);
        assert_eq!(around(3, 0), ["3 two    2"]);
        assert_eq!(around(2, 1), [""; 0], "an empty line is at nothing");
        assert_eq!(around(4, 5), ["1 one", "2 ", "3   two    2", "4 three"]);
        assert_eq!(Lines::of(None).line("a.py", 1), None);
        let files = sample::Sources::of(&[("b.py", &"ä".repeat(3_000_000))]);
        let line = Lines::of(Some(&files)).line("b.py", 1).unwrap();
        assert_eq!(line.chars().count(), MAX_LINE);
    }

    #[test]
    fn a_file_in_which_the_code_begins_elsewhere_is_another() {
        let text =
            "import x\n\n@route(\n  '/',\n)\nasync def hang():\n    f = lambda: 1\n    pass\n";
        let index = Index::of(text.into());
        let begins = |name: &str, line| index.defines(&Definition { name: name.into(), line });
        assert!(begins("hang", 3) && begins("App.hang", 6) && begins("<lambda>", 7));
        assert!(begins("<listcomp>", 99), "nothing tells");
        assert!(!begins("hang", 2) && !begins("han", 6) && !begins("other", 3));
        assert!(!begins("<lambda>", 6) && !begins("hang", 99));

        let files = sample::Sources::of(&[("/srv/bank/app.py", "a\nb\n")]);
        let mut snapshot = sample::bank();
        assert_eq!(
            Lines::of_snapshot(Some(&files), &snapshot).line("/srv/bank/app.py", 2).as_deref(),
            Some("b")
        );
        let frame = snapshot.tasks[2].frames.first_mut().unwrap();
        let name = Arc::clone(&frame.location.function);
        let definition = Some(Definition { name, line: 1 });
        frame.location = Arc::new(Location { definition, ..(*frame.location).clone() });
        assert_eq!(Lines::of_snapshot(Some(&files), &snapshot).line("/srv/bank/app.py", 2), None);
    }

    #[test]
    fn the_line_of_ones_own_code_is_shown() {
        let own = |places: &[&str]| innermost_own(&sample::frames(places));
        let package = "/venv/lib/python3.13/site-packages/aiohttp/client.py";
        let packed = format!("get {package}:9");
        assert_eq!(own(&["f app.py:1", "g app.py:2", &packed, "w asyncio/locks.py:3"]), Some(1));
        assert_eq!(own(&[&packed, "w asyncio/locks.py:3"]), Some(0));
        assert_eq!(own(&["w asyncio/locks.py:3"]), None);
        assert_eq!(own(&["f app.py:1", "x <string>:1"]), Some(0));
    }
}
