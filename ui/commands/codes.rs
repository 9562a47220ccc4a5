//! The codes of findings, as typed.

use std::ffi::OsStr;

use aiospy::snapshot::Code;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};

/// The codes of findings; for a mistyped one, clap proposes those nearest to it.
pub fn codes() -> impl TypedValueParser<Value = Code> {
    PossibleValuesParser::new(Code::ALL.iter().map(|code| code.as_str())).try_map(|name| {
        let code = Code::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(&name));
        code.copied().ok_or("no such code")
    })
}

/// The code that is called so.
///
/// # Errors
/// There is none; what it may be is said.
pub fn code_of(text: &str) -> Result<Code, String> {
    let command = clap::Command::new("aiospy");
    codes().parse_ref(&command, None, OsStr::new(&text.to_ascii_lowercase())).map_err(|error| {
        let nearest = match error.get(ContextKind::SuggestedValue) {
            Some(ContextValue::String(one)) => Some(one),
            Some(ContextValue::Strings(all)) => all.first(),
            _ => None,
        };
        match nearest {
            Some(nearest) => format!("no finding has the code {text:?}; the nearest is {nearest}"),
            None => format!("no finding has the code {text:?}; aiospy explain lists them"),
        }
    })
}
