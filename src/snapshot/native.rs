//! The stack of a thread in C, with its Python frames in their places.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::of_name;
use crate::memory::Address;

/// The whole stack of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NativeStack {
    /// Why it is not known.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// Its frames, outermost first; in place of the interpreter's loop the Python frames that it
    /// runs.
    pub frames: Vec<StackFrame>,
    /// Whether the outermost function was reached and each Python frame has its place.
    pub is_complete: bool,
}

/// Why the stack of a thread in C is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withheld {
    /// It was running.
    Running,
    /// It ran while its frames were read.
    Moved,
    /// The kernel doesn't tell its registers.
    Untold,
}

/// A frame of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StackFrame {
    /// One of Python.
    Python {
        /// Which one of the thread's.
        frame: usize,
    },
    /// Some that could not be followed.
    Gap {
        /// Always `true`.
        gap: bool,
    },
    /// One of C.
    Native(NativeFrame),
}

/// A function's frame in C.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NativeFrame {
    /// The function, where a symbol names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<Arc<str>>,
    /// The file that it is of: a library, the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// Where it is in that file, as its symbols count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Address>,
    /// Whether it is of the interpreter's own machinery, which calls what Python code asks for.
    #[serde(rename = "machinery")]
    pub is_machinery: bool,
}

impl NativeFrame {
    /// The name of its file without folders.
    pub fn library(&self) -> Option<&str> {
        self.file.as_deref().map(|file| file.rsplit('/').next().unwrap_or(file))
    }
}

impl NativeStack {
    /// The frames in C that the innermost Python frame has called, outermost first, without the
    /// interpreter's own machinery; none where they could not be followed to it.
    pub fn called(&self) -> impl Iterator<Item = &NativeFrame> {
        let inner = |frame: &StackFrame| !matches!(frame, StackFrame::Native(_));
        let start = self.frames.iter().rposition(inner);
        let is_followed = start
            .and_then(|at| self.frames.get(at))
            .is_some_and(|frame| matches!(frame, StackFrame::Python { .. }));
        let start = start.filter(|_| is_followed).map_or(self.frames.len(), |at| at + 1);
        self.frames.iter().skip(start).filter_map(|frame| match frame {
            StackFrame::Native(frame) if !frame.is_machinery => Some(frame),
            _ => None,
        })
    }

    /// The libraries that it is in below the innermost Python frame, the outermost first, each with
    /// the first of its functions that is named: `libpq.so.5: PQexec > libc.so.6: poll`.
    pub fn libraries(&self) -> Option<String> {
        let mut parts: Vec<(&str, Option<&str>)> = Vec::new();
        for frame in self.called() {
            let Some(library) = frame.library() else { continue };
            match parts.last_mut() {
                Some((last, function)) if *last == library => {
                    *function = function.or(frame.function.as_deref());
                }
                _ => parts.push((library, frame.function.as_deref())),
            }
        }
        let part = |(library, function): (&str, Option<&str>)| match function {
            Some(function) => format!("{library}: {function}"),
            None => library.to_owned(),
        };
        let parts: Vec<String> = parts.into_iter().map(part).collect();
        (!parts.is_empty()).then(|| parts.join(" > "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(file: &str, function: &str) -> StackFrame {
        StackFrame::Native(NativeFrame {
            function: (!function.is_empty()).then(|| function.into()),
            file: Some(format!("/usr/lib/{file}").into()),
            is_machinery: function.starts_with("Py"),
            ..NativeFrame::default()
        })
    }

    fn stack(frames: &[StackFrame]) -> NativeStack {
        NativeStack { frames: frames.to_vec(), is_complete: true, withheld: None }
    }

    #[test]
    fn libraries_below_the_innermost_python_frame() {
        let python = |frame| StackFrame::Python { frame };
        let query = [
            native("libc.so.6", "main"),
            python(0),
            native("libsqlite3.so.0", "sqlite3_step"),
            python(1),
            native("libpython3.12.so", "PyObject_Call"),
            native("_psycopg.so", ""),
            native("_psycopg.so", "curs_execute"),
            native("libpq.so.5", "PQexec"),
            native("libpq.so.5", "PQgetResult"),
            native("libc.so.6", ""),
        ];
        let words = "_psycopg.so: curs_execute > libpq.so.5: PQexec > libc.so.6";
        assert_eq!(stack(&query).libraries().as_deref(), Some(words));
        assert_eq!(stack(&query[..4]).libraries(), None, "it is in Python");
        let cut = [&query[..4], &[StackFrame::Gap { gap: true }], &query[7..]].concat();
        assert_eq!(stack(&cut).libraries(), None, "what is below Python is not known");
        assert_eq!(stack(&query[7..]).libraries(), None, "there is no Python");
    }

    #[test]
    fn as_json() {
        let stack = stack(&[StackFrame::Python { frame: 0 }, native("libc.so.6", "poll")]);
        let text = serde_json::to_string(&stack).unwrap();
        assert_eq!(
            text,
            r#"{"frames":[{"frame":0},{"function":"poll","file":"/usr/lib/libc.so.6","machinery":false}],"is_complete":true}"#
        );
        assert_eq!(serde_json::from_str::<NativeStack>(&text).unwrap(), stack);
        let withheld = r#"{"withheld":"by a newer version","frames":[],"is_complete":false}"#;
        assert_eq!(serde_json::from_str::<NativeStack>(withheld).unwrap(), NativeStack::default());
    }
}
