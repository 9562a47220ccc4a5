//! `aiospy explain [CODE]`: what a finding means, how it is told, when it is not raised, what to do.
//!
//! The texts lie in `explain/`, one file for each code: a summary, then the severity and the looks
//! it takes, then sections.

use std::io;
use std::path::{Path, PathBuf};

use aiospy::snapshot::Code;
use clap::Args;

use crate::commands::codes::codes;
use crate::commands::outcome::Outcome;
use crate::commands::saved;
use crate::io::output::{COLOR, Color, Destination, Output};
use crate::io::page::{Line, Page, Style};
use crate::io::wanted;

macro_rules! texts {
    ($($code:literal,)+) => {
        /// The texts by code.
        const TEXTS: &[(&str, &str)] =
            &[$(($code, include_str!(concat!("explain/", $code, ".txt"))),)+];
    };
}

aiospy::for_each_code!(texts);

/// A text in its parts.
#[derive(Debug)]
struct Text<'t> {
    /// What the finding says, in one line.
    summary: &'t str,
    /// How bad it is.
    severity: &'t str,
    /// The sections.
    body: &'t str,
}

/// The text of a code.
fn text_of(code: Code) -> Option<Text<'static>> {
    let (_, text) = TEXTS.iter().find(|(name, _)| *name == code.as_str())?;
    let (summary, rest) = text.split_once('\n')?;
    let (severity, body) = rest.split_once('\n')?;
    Some(Text { summary, severity, body: body.trim() })
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The finding's code, as in [code] of a report; without it, all are listed
    #[arg(value_parser = codes(), hide_possible_values = true, ignore_case = true)]
    code: Option<Code>,
    /// Explain the findings in an image written by `aiospy dump --save-image FILE`
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    image: Option<PathBuf>,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// Runs the command.
///
/// # Errors
/// Those of the destination.
pub fn run(options: &Explain) -> anyhow::Result<Outcome> {
    let found = options.image.as_deref().map(codes_in).transpose()?;
    let mut to = Destination::open(&Output::new(None, options.color))?;
    let color = to.color;
    // Not cut: the texts are narrow enough.
    let mut page = Page::new(to.writer(), None, color);
    match (options.code, found) {
        (Some(code), _) => one(code, &mut page)?,
        (None, Some(codes)) if codes.is_empty() => page.text("no findings")?,
        (None, Some(codes)) => {
            for (i, code) in codes.into_iter().enumerate() {
                if i > 0 {
                    page.blank()?;
                }
                one(code, &mut page)?;
            }
        }
        (None, None) => list(&mut page)?,
    }
    to.finish()?;
    Ok(Outcome::Done)
}

/// The codes of the findings in an image, each once.
fn codes_in(image: &Path) -> anyhow::Result<Vec<Code>> {
    let wanted = wanted::complete(aiospy::Options::default());
    let snapshot = saved::look(saved::open(image)?, &wanted, u8::MAX)?;
    let mut codes: Vec<Code> = Vec::new();
    for finding in snapshot.findings.iter().flatten() {
        if !codes.contains(&finding.code) {
            codes.push(finding.code);
        }
    }
    Ok(codes)
}

fn list(page: &mut Page<'_>) -> io::Result<()> {
    let column = 2 + Code::ALL.iter().map(|code| code.as_str().len()).max().unwrap_or(0);
    for code in Code::ALL {
        let mut line = Line::new().with(Style::Strong, code.as_str());
        line.pad_to(column);
        if let Some(text) = text_of(*code) {
            // The severity at least: where it depends, the text tells on what.
            let severity = text.severity.split([' ', ',']).next().unwrap_or_default();
            line.add(Style::Dim, severity);
            line.pad_to(column + "critical  ".len());
            line.add(Style::Plain, text.summary);
        }
        page.line(&line)?;
    }
    page.blank()?;
    page.text("aiospy explain CODE says what one means and what to do about it.")
}

/// Writes what a code means.
///
/// # Errors
/// Those of the page.
pub fn one(code: Code, page: &mut Page<'_>) -> io::Result<()> {
    let Some(text) = text_of(code) else { return page.text(code.as_str()) };
    let line = Line::new().with(Style::Strong, code.as_str());
    page.line(&line.with(Style::Plain, &format!(": {}", text.summary)))?;
    page.line(&Line::new().with(Style::Notice, text.severity))?;
    page.blank()?;
    for line in text.body.lines() {
        let style = if is_heading(line) { Style::Strong } else { Style::Plain };
        page.line(&Line::new().with(style, line))?;
    }
    Ok(())
}

fn is_heading(line: &str) -> bool {
    !line.is_empty() && !line.starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    const HEADINGS: [&str; 5] =
        ["What it means", "How it is detected", "When it is not raised", "What to do", "Example"];

    #[test]
    fn every_code_has_its_text_and_every_text_its_code() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let named: Vec<&str> = TEXTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, codes);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/commands/explain");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), codes.len());
    }

    #[test]
    fn a_mistyped_code_is_met_with_the_nearest_one() {
        let explained = |code: &str| typed::<Explain>(code);
        for code in Code::ALL {
            assert_eq!(explained(&code.as_str().to_uppercase()).unwrap().code, Some(*code));
        }
        let error = explained("deadlok").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("similar value exists: 'deadlock'"), "{error}");
    }

    #[test]
    fn texts_are_complete_and_narrow() {
        let widest = Code::ALL.iter().map(|code| code.as_str().len()).max().unwrap();
        for code in Code::ALL {
            let text = text_of(*code).unwrap();
            assert!(text.body.contains(&format!("[{code}]")), "{code}: an example of its output");
            let headings: Vec<&str> = text.body.lines().filter(|line| is_heading(line)).collect();
            assert_eq!(headings, HEADINGS, "{code}");
            assert!(widest + 12 + text.summary.chars().count() <= 80, "{code}: {}", text.summary);
            assert!(!text.summary.ends_with('.') && !text.summary.is_empty(), "{code}");
            let is_severity = |word| text.severity.starts_with(word);
            assert!(["critical", "warning", "info"].into_iter().any(is_severity), "{code}");
            for line in text.body.lines().chain([text.severity]) {
                assert!(line.chars().count() <= 80 && line == line.trim_end(), "{code}: {line:?}");
                assert!(line.chars().all(|c| !c.is_control()), "{code}: {line:?}");
            }
            for heading in HEADINGS {
                let section = text.body.split_once(heading).unwrap().1;
                assert!(section.starts_with("\n  "), "{code}: {heading} is empty");
            }
        }
    }

    #[test]
    fn texts_name_only_codes_that_exist() {
        for (name, text) in TEXTS {
            for word in text.split('[').skip(1).filter_map(|rest| Some(rest.split_once(']')?.0)) {
                let is_code = word.contains('-') && !word.contains(' ') || word == "deadlock";
                let is_known = Code::ALL.iter().any(|known| known.as_str() == word);
                assert!(is_known || !is_code, "{name}: {word}");
            }
        }
    }
}
