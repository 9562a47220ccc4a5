//! What a frame has come by in its function on the way to where it is.

use std::ops::Range;
use std::sync::Arc;

use super::RawFrame;
use crate::layout::opcodes::Op;
use crate::python::object::{Code, Flow, Read, Reader};

/// Loops of one function that are told apart.
const MAX_LOOPS: usize = 200;

/// What lies behind a frame.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// What it has come by, in the order of the function.
    pub passed: Vec<Passed>,
    /// Whether it is in a loop: then this is the way since the innermost of them began anew.
    pub is_in_loop: bool,
}

/// Something that a frame has come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// A global variable or an attribute was read.
    Name(Arc<str>),
    /// Something was awaited.
    Await,
    /// A statement has ended: its value was put into a variable or thrown away.
    End,
}

impl Reader<'_> {
    /// What lies behind a frame: all that stands before the present await, in the innermost loop
    /// around it if there is one.
    ///
    /// # Errors
    /// When the bytecode cannot be read, or its lines are being traced.
    pub(crate) fn behind(&self, frame: &RawFrame) -> Read<Behind> {
        let code = self.code(frame.code)?;
        let flow = self.flow(&code)?;
        let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
        let Some(present) = present else { return Ok(Behind::default()) };
        let body = innermost_loop(flow, present);
        // Of `while line := await read():` the compiler makes two: one before the loop, one in it.
        let is_in_loop = body.is_some() || self.is_of_later_loop(frame, flow, present);
        if body.is_none() && is_in_loop {
            return Ok(Behind { passed: Vec::new(), is_in_loop });
        }
        let is_on_way = |index: &usize| {
            body.as_ref().is_none_or(|body| body.iter().any(|range| range.contains(index)))
        };
        // From 3.11 on an await is a `SEND` with a `YIELD_VALUE` and a `RESUME` behind it: the frame
        // is at one of these.
        let is_own_send = |index: usize| present - index <= 2 && flow.op(index) == Some(Op::Send);
        let before = (0..present).filter(is_on_way).filter(|index| !is_own_send(*index));
        let passed = before.filter_map(|index| match flow.op(index)? {
            Op::Send | Op::YieldFrom => Some(Passed::Await),
            Op::PopTop | Op::Store => Some(Passed::End),
            _ => self.name_loaded(&code, flow, index).map(Passed::Name),
        });
        Ok(Behind { passed: passed.collect(), is_in_loop })
    }

    /// Whether an await at the same place of the source is in a loop that comes later.
    fn is_of_later_loop(&self, frame: &RawFrame, flow: &Flow, present: usize) -> bool {
        let place = |index: usize| {
            let at = i64::try_from(flow.at(index)?).ok()?;
            let location = self.site(frame.code, at, frame.qualname).ok()?.location;
            Some((location.line?, location.column))
        };
        let Some(here) = place(present) else { return false };
        let is_await = |index: &usize| matches!(flow.op(*index), Some(Op::Send | Op::YieldFrom));
        let later = (present + 1..flow.instructions.len()).filter(is_await);
        let same = later.filter(|index| place(*index) == Some(here));
        same.take(MAX_LOOPS).any(|index| {
            innermost_loop(flow, index)
                .is_some_and(|body| body.iter().any(|range| range.contains(&index)))
        })
    }

    /// The global variable or attribute that an instruction reads.
    fn name_loaded(&self, code: &Code, flow: &Flow, index: usize) -> Option<Arc<str>> {
        let opcodes = &self.layout.opcodes;
        let one = flow.instructions.get(index)?;
        let number = match one.op? {
            Op::LoadGlobal => one.argument >> opcodes.global_shift,
            Op::LoadAttr => one.argument >> opcodes.attribute_shift,
            Op::LoadName => one.argument,
            _ => return None,
        };
        self.name_of_code(code.at, number)
    }
}

/// The instructions of the innermost loop around one, in order.
fn innermost_loop(flow: &Flow, present: usize) -> Option<Vec<Range<usize>>> {
    let is_back = |index: &usize| {
        let is_jump = matches!(
            flow.op(*index),
            Some(Op::JumpBackward | Op::JumpAbsolute | Op::BranchBackward | Op::BranchAbsolute)
        );
        is_jump && flow.target(*index).is_some_and(|target| target <= *index)
    };
    let back = (present..flow.instructions.len()).filter(is_back);
    let mut heads: Vec<usize> =
        back.filter_map(|index| flow.target(index)).filter(|head| *head <= present).collect();
    heads.sort_unstable();
    heads.dedup();
    if heads.is_empty() {
        return None;
    }
    let predecessors = flow.predecessors();
    let bodies = heads.into_iter().rev().take(MAX_LOOPS);
    let around = bodies.map(|head| flow.loop_body(head, &predecessors));
    let around = around.filter(|body| body.iter().any(|range| range.contains(&present)));
    around.min_by_key(|body| body.iter().map(Range::len).sum::<usize>())
}
