//! Stacks in C with the Python frames in their places.

use std::ops::Range;

use crate::known::interpreter::{calls_for_it, is_loop, is_machinery, switches_stacks};
use crate::native::{Code, Named, Stack};
use crate::python::frame::Evaluation;
use crate::snapshot::{NativeFrame, NativeStack, StackFrame};

/// Puts `frames` Python frames, which these calls of the interpreter's loop run, in the places of
/// these calls. `interpreter` is where its own file is mapped.
///
/// A call is found by what lies in its frame or, up to 3.10, by its name.
pub(crate) fn merge(
    stack: &Stack,
    evaluations: &[Evaluation],
    frames: usize,
    code: &mut Code<'_>,
    interpreter: Option<&Range<u64>>,
) -> NativeStack {
    let mut left = evaluations.iter().peekable();
    let mut is_whole = stack.is_complete;
    // From the inside to the outside.
    let mut merged = Vec::new();
    let mut python = (0..frames).rev().map(|frame| StackFrame::Python { frame });
    for (at, frame) in stack.frames.iter().enumerate() {
        let Named { function, file, offset } = code.name(frame.at);
        if file.as_deref().is_some_and(switches_stacks) {
            is_whole = false;
            break;
        }
        let end = stack.frames.get(at + 1).map_or(frame.stack, |caller| caller.stack);
        let evaluation = left.next_if(|next| match next.place {
            Some(place) => (frame.stack..end).contains(&place),
            None => function.as_deref().is_some_and(is_loop),
        });
        if let Some(evaluation) = evaluation {
            merged.extend(python.by_ref().take(evaluation.frames));
            continue;
        }
        let is_own = || interpreter.is_some_and(|range| range.contains(&frame.at.0));
        merged.push(StackFrame::Native(NativeFrame {
            is_machinery: match &function {
                Some(function) => is_machinery(function),
                None => is_own() || file.as_deref().is_some_and(calls_for_it),
            },
            function,
            file: file.map(|file| file.to_string_lossy().into()),
            offset,
        }));
    }
    let is_complete = is_whole && python.len() == 0;
    if !is_complete {
        merged.push(StackFrame::Gap { gap: true });
    }
    merged.extend(python);
    merged.reverse();
    NativeStack { withheld: None, frames: merged, is_complete }
}
