//! Where a report goes: a file or standard output, with or without colours, how wide.

mod queue;

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::{Args, ValueEnum};

use self::queue::Queue;
pub use self::queue::Reader;
use crate::io::page::{self, Page};
use crate::io::trouble::Trouble;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    // No doc comments here: clap would make a list of them in every help.
    Auto,
    Always,
    Never,
}

/// The help for it.
pub const COLOR: &str = "When to use colours; auto: on a terminal unless NO_COLOR is set";

/// Where what is written goes.
#[derive(Debug, Clone, Args)]
pub struct Stream {
    /// Write to FILE; - is standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long = "force")]
    replaces: bool,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

impl Stream {
    /// The file; standard output if there is none.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref().filter(|file| file.as_os_str() != "-")
    }
}

/// Where a report goes and how it looks there.
#[derive(Debug, Clone, Args)]
pub struct Output {
    #[command(flatten)]
    pub stream: Stream,
    /// Cut lines to N columns [default: the terminal's width; when piped, tables take 120 or COLUMNS
    /// and no line is cut]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(20..))]
    width: Option<u16>,
}

impl From<Stream> for Output {
    fn from(stream: Stream) -> Self {
        Self { stream, width: None }
    }
}

impl Output {
    /// To a new file, or to standard output if there is none.
    pub fn new(file: Option<PathBuf>, color: Color) -> Self {
        Stream { file, replaces: false, color }.into()
    }

    /// The width of lines, if not the terminal's.
    pub fn width(&self) -> Option<usize> {
        self.width.map(usize::from)
    }

    /// Whether it goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.stream.file().is_none() && io::stdout().is_terminal()
    }
}

/// An open destination.
pub struct Destination {
    writer: Box<dyn Write>,
    /// Who reads it, where that is not waited for.
    reader: Option<Reader>,
    /// The program that shows it page by page.
    pager: Option<Child>,
    /// Whether a person reads along.
    pub is_terminal: bool,
    /// Whether to use colours.
    pub color: bool,
    /// How wide lines may be; `None` when they are not to be cut.
    width: Option<usize>,
    /// How wide a report is laid out where lines are not cut.
    columns: usize,
}

impl Destination {
    /// Opens what `output` names. A file is only touched now, when there is something to write.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(output: &Output) -> anyhow::Result<Self> {
        let (to, is_terminal) = target(&output.stream)?;
        Ok(Self::new(output, to, None, is_terminal))
    }

    /// The same for a report that may be longer than a screen: on a terminal through a pager, as git
    /// does.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open_paged(output: &Output) -> anyhow::Result<Self> {
        let mut destination = Self::open(output)?;
        let variable = |name: &str| std::env::var(name).ok();
        let Some(pager) = pager(variable).filter(|_| output.is_terminal()) else {
            return Ok(destination);
        };
        let mut command = Command::new("sh");
        command.args(["-c", &pager]).stdin(Stdio::piped());
        if variable("LESS").is_none() {
            command.env("LESS", "FRX");
        }
        // Without a pager it is written as it is.
        if let Ok(mut child) = command.spawn()
            && let Some(to) = child.stdin.take()
        {
            destination.writer = Box::new(BufWriter::with_capacity(1 << 16, to));
            destination.pager = Some(child);
        }
        Ok(destination)
    }

    /// The same for a command that measures as it writes: a slow reader does not hold it up. One
    /// that takes nothing does not keep it from its end either, once `stop` is set.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open_queued(output: &Output, stop: &Arc<AtomicBool>) -> anyhow::Result<Self> {
        let (to, is_terminal) = target(&output.stream)?;
        let queue = Queue::new(to, Arc::clone(stop));
        let pipe = match output.stream.file() {
            Some(_) => None,
            None => io::stdout().as_fd().try_clone_to_owned().ok(),
        };
        let reader = queue.reader(pipe);
        Ok(Self::new(output, Box::new(queue), Some(reader), is_terminal))
    }

    fn new(output: &Output, to: Box<dyn Write>, reader: Option<Reader>, is_terminal: bool) -> Self {
        let terminal_width =
            || terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self {
            writer: Box::new(BufWriter::with_capacity(1 << 16, to)),
            reader,
            pager: None,
            is_terminal,
            color: use_color(output.stream.color, is_terminal, |name| {
                std::env::var(name).ok().filter(|value| !value.is_empty())
            }),
            width: output.width().or_else(|| is_terminal.then(terminal_width)),
            columns: columns(std::env::var("COLUMNS").ok()),
        }
    }

    /// Standard error, beside a program whose standard output is its own.
    pub fn beside(option: Color) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self {
            writer: Box::new(BufWriter::new(io::stderr())),
            reader: None,
            pager: None,
            is_terminal,
            color: use_color(option, is_terminal, |name| {
                std::env::var(name).ok().filter(|value| !value.is_empty())
            }),
            width: None,
            columns: page::COLUMNS,
        }
    }

    /// The page that it is.
    pub fn page(&mut self) -> Page<'_> {
        Page::new(&mut *self.writer, self.width, self.color).of_columns(self.columns)
    }

    /// The same with lines that are not cut to the terminal, but to what `output` says.
    pub fn page_of_whole_lines(&mut self, output: &Output) -> Page<'_> {
        Page::new(&mut *self.writer, output.width(), self.color).of_columns(self.columns)
    }

    /// The writer; buffered.
    pub fn writer(&mut self) -> &mut dyn Write {
        &mut *self.writer
    }

    /// Who reads it, where that is not waited for.
    pub fn reader(&self) -> Option<Reader> {
        self.reader.clone()
    }

    /// Writes what is still to be written.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn finish(mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        drop(self.writer);
        if let Some(mut pager) = self.pager {
            pager.wait()?;
        }
        flushed?;
        self.reader.map_or(Ok(()), |reader| reader.wait())
    }
}

/// How wide a page is that is no terminal's, by the variable `COLUMNS`.
fn columns(variable: Option<String>) -> usize {
    let said = variable.and_then(|text| text.trim().parse().ok());
    said.filter(|columns| (40..=1000).contains(columns)).unwrap_or(page::COLUMNS)
}

/// The pager that the environment asks for, if any is to be used.
fn pager(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let asked = variable("AIOSPY_PAGER").or_else(|| variable("PAGER"));
    let is_dumb = variable("TERM").is_none_or(|terminal| terminal == "dumb");
    let pager = asked.unwrap_or_else(|| "less".to_owned());
    (!is_dumb && !matches!(pager.trim(), "" | "cat")).then_some(pager)
}

/// What `stream` names, and whether it is a terminal.
fn target(stream: &Stream) -> anyhow::Result<(Box<dyn Write + Send>, bool)> {
    Ok(match stream.file() {
        Some(path) => {
            let to = create(path, stream.replaces)?;
            (Box::new(Named { to, path: Some(path.to_owned()) }), false)
        }
        None => (Box::new(Named { to: io::stdout(), path: None }), io::stdout().is_terminal()),
    })
}

/// Makes the file that `path` names, for its owner alone: what is read of a program may be as
/// private as the program. One that is there is replaced only if `replaces`, and what a link leads
/// to never; a device or pipe takes what is written.
///
/// # Errors
/// When it cannot be made, or is there already.
pub fn create(path: &Path, replaces: bool) -> anyhow::Result<File> {
    let new = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    let made = match new() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_link = path.is_symlink();
            let there = OpenOptions::new().write(true).open(path);
            match there.and_then(|there| Ok((there.metadata()?.is_file(), there))) {
                Ok((false, there)) => return Ok(there),
                _ if is_link => {
                    let cause =
                        format!("{} is a symbolic link, and is not followed", path.display());
                    return Err(Trouble::new(cause, "-o with the file it leads to").into());
                }
                _ if !replaces => {
                    let cause = format!("{} is there already", path.display());
                    return Err(Trouble::new(cause, "--force, which replaces it").into());
                }
                // Not what somebody may have open, or a link with other rights: a new one.
                _ => std::fs::remove_file(path).and_then(|()| new()),
            }
        }
        made => made,
    };
    made.with_context(|| cannot_write(path))
}

/// A file or standard output whose errors say which.
struct Named<W> {
    to: W,
    path: Option<PathBuf>,
}

impl<W> Named<W> {
    fn name<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let path = self.path.as_deref().unwrap_or(Path::new("standard output"));
            io::Error::new(error.kind(), format!("{}: {error}", cannot_write(path)))
        })
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.to.write(bytes);
        self.name(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.to.flush();
        self.name(done)
    }
}

/// What is said of a file that cannot be written.
pub fn cannot_write(path: &Path) -> String {
    format!("can't write {}", path.display())
}

/// <https://no-color.org>, <https://bixense.com/clicolors>; the option beats the variables.
fn use_color(option: Color, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_on = |name| variable(name).is_some_and(|value| value != "0");
    match option {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if variable("NO_COLOR").is_some() => false,
        Color::Auto if is_on("CLICOLOR_FORCE") => true,
        Color::Auto => {
            is_terminal
                && variable("CLICOLOR").as_deref() != Some("0")
                && variable("TERM").as_deref() != Some("dumb")
        }
    }
}

/// Whether to use colours on a terminal.
pub fn use_color_on_terminal(option: Color) -> bool {
    use_color(option, true, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Writes a line to standard error; a closed standard error is nobody's concern.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", page::clean(&line.to_string()));
}

/// Says something beside the result, in one line.
pub fn note(what: impl Display) {
    say(format_args!("note: {what}"));
}

/// Whether the reader of our output went away: no error, he has seen enough.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    io_kind(error) == Some(io::ErrorKind::BrokenPipe)
}

/// What kind of an error of a file it is, also when it came through what was written as JSON.
pub fn io_kind(error: &anyhow::Error) -> Option<io::ErrorKind> {
    error.chain().find_map(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        io.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn color(option: Color, is_terminal: bool, set: &[(&str, &str)]) -> bool {
        use_color(option, is_terminal, |name| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_pager_is_asked_for_by_name_or_not_at_all() {
        let chosen = |set: &[(&str, &str)]| {
            pager(|name| {
                let known = set.iter().chain(&[("TERM", "xterm")]).find(|(key, _)| *key == name);
                known.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(chosen(&[]).as_deref(), Some("less"));
        assert_eq!(chosen(&[("PAGER", "more")]).as_deref(), Some("more"));
        let both = [("AIOSPY_PAGER", "bat -p"), ("PAGER", "more")];
        assert_eq!(chosen(&both).as_deref(), Some("bat -p"));
        for none in [("PAGER", "cat"), ("AIOSPY_PAGER", ""), ("TERM", "dumb")] {
            assert_eq!(chosen(&[none]), None, "{none:?}");
        }
    }

    #[test]
    fn colours_follow_the_conventions() {
        assert!(color(Color::Auto, true, &[]));
        assert!(!color(Color::Auto, false, &[]));
        assert!(!color(Color::Auto, true, &[("NO_COLOR", "1")]));
        assert!(!color(Color::Auto, true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(color(Color::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!color(Color::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!color(Color::Auto, true, &[("CLICOLOR", "0")]));
        assert!(!color(Color::Auto, true, &[("TERM", "dumb")]));
        assert!(color(Color::Always, false, &[("NO_COLOR", "1")]));
        assert!(!color(Color::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn a_page_that_is_piped_is_as_wide_as_columns_says() {
        let of = |text: &str| columns(Some(text.to_owned()));
        assert_eq!(columns(None), 120);
        assert_eq!([of("40"), of(" 80 "), of("1000")], [40, 80, 1000]);
        for ignored in ["", "39", "1001", "wide", "-80", "99999999999999999999999"] {
            assert_eq!(of(ignored), 120, "{ignored}");
        }
    }

    #[test]
    fn broken_pipe_is_seen_through_json() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&pipe().into()));
        assert!(is_broken_pipe(&serde_json::Error::io(pipe()).into()));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
