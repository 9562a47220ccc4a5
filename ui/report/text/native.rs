//! The stack of a thread with its frames in C.

use std::io;

use aiospy::snapshot::{Frame, Location, NativeStack, Origin, StackFrame, Thread, Withheld};

use super::{Lines, tree};
use crate::io::page::{Line, Page, Style};

/// Writes the frames of a thread with those in C, outermost first, but for the interpreter's own
/// machinery and what lies outside of the outermost Python frame.
///
/// # Errors
/// Those of the page.
pub fn stack(
    thread: &Thread,
    native: &NativeStack,
    lines: &Lines<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let why = match native.withheld {
        Some(Withheld::Running) => "it is running",
        Some(Withheld::Moved) => "it ran meanwhile",
        Some(Withheld::Untold) => "the kernel doesn't say where it is",
        None => return tree::stack(page, "    ", &frames(thread, native), lines),
    };
    tree::stack(page, "    ", &thread.frames, lines)?;
    page.line(&Line::new().with(Style::Dim, &format!("    (no frames in C: {why})")))
}

fn frames(thread: &Thread, native: &NativeStack) -> Vec<Frame> {
    let in_c = |function: &str, library: &str| {
        let location = Location::by_path(function.into(), library.into(), None);
        Frame { location: Location { origin: Origin::Stdlib, ..location }.into(), locals: None }
    };
    let is_python = |frame: &StackFrame| matches!(frame, StackFrame::Python { .. });
    let outermost = native.frames.iter().position(is_python).unwrap_or(0);
    let mut shown = Vec::new();
    let mut last = None;
    for frame in native.frames.iter().skip(outermost) {
        let library = match frame {
            StackFrame::Native(frame) => frame.library(),
            StackFrame::Python { .. } | StackFrame::Gap { .. } => None,
        };
        match frame {
            StackFrame::Python { frame } => shown.extend(thread.frames.get(*frame).cloned()),
            StackFrame::Gap { .. } => shown.push(in_c("…", "frames in C that can't be followed")),
            StackFrame::Native(frame) if frame.is_machinery => {}
            // What has no name says no more than the frame that it is called from.
            StackFrame::Native(frame) if frame.function.is_none() && library == last => {}
            StackFrame::Native(frame) => {
                shown.push(in_c(frame.function.as_deref().unwrap_or("?"), library.unwrap_or("?")));
            }
        }
        last = library;
    }
    shown
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::NativeFrame;

    use super::*;
    use crate::report::text::sample;

    fn text(native: &NativeStack) -> String {
        let frames = sample::frames(&["<module> app.py:7", "query app.py:3"]);
        let thread = Thread { tid: Some(4711), frames, ..Thread::default() };
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, None, false);
        stack(&thread, native, &Lines::of(None), &mut page).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn in_c(function: &str, library: &str) -> StackFrame {
        StackFrame::Native(NativeFrame {
            function: (!function.is_empty()).then(|| function.into()),
            file: Some(format!("/usr/lib/{library}").into()),
            is_machinery: function.starts_with("Py"),
            ..NativeFrame::default()
        })
    }

    #[test]
    fn frames_in_c_among_those_of_python() {
        let python = |frame| StackFrame::Python { frame };
        let frames = vec![
            in_c("main", "python3"),
            python(0),
            in_c("PyObject_Call", "python3"),
            in_c("task_step", "_asyncio.so"),
            python(1),
            in_c("PQexec", "libpq.so.5"),
            in_c("", "libpq.so.5"),
            in_c("", "libc.so.6"),
            in_c("poll", "libc.so.6"),
        ];
        let whole = NativeStack { frames: frames.clone(), is_complete: true, withheld: None };
        assert_eq!(
            text(&whole),
            "    <module>   app.py:7\n    task_step  _asyncio.so\n    query      app.py:3\n    \
             PQexec     libpq.so.5\n    ?          libc.so.6\n    poll       libc.so.6\n"
        );
        let cut = [&frames[1..2], &frames[4..5], &[StackFrame::Gap { gap: true }], &frames[8..]];
        let cut = NativeStack { frames: cut.concat(), is_complete: false, withheld: None };
        assert_eq!(
            text(&cut),
            "    <module>  app.py:7\n    query     app.py:3\n    …         frames in C that can't \
             be followed\n    poll      libc.so.6\n"
        );
        let running = NativeStack { withheld: Some(Withheld::Running), ..NativeStack::default() };
        assert_eq!(
            text(&running),
            "    <module>  app.py:7\n    query     app.py:3\n    (no frames in C: it is running)\n"
        );
    }
}
