//! The `for` loops of a function.

use std::ops::Range;

use super::{Code, Flow};
use crate::layout::opcodes::Op;
use crate::python::object::{Read, Reader};

/// Loops of one function that are told apart.
const MAX_LOOPS: usize = 200;

/// The `for` loops of a code object.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    pub(crate) all: Vec<Body>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Body {
    /// The `FOR_ITER`, in bytes.
    pub(crate) at: u64,
    /// The instructions in it, by their number, in order.
    instructions: Vec<Range<usize>>,
}

impl Body {
    pub(crate) fn has(&self, instruction: usize) -> bool {
        self.instructions.iter().any(|range| range.contains(&instruction))
    }

    pub(crate) fn len(&self) -> usize {
        self.instructions.iter().map(Range::len).sum()
    }
}

impl Reader<'_> {
    /// The loops of a code object.
    pub(crate) fn loops<'c>(&self, code: &'c Code) -> Read<&'c Loops> {
        if let Some(loops) = code.loops.get() {
            return Ok(loops);
        }
        let loops = Loops::new(self.flow(code)?);
        Ok(code.loops.get_or_init(|| loops))
    }
}

impl Loops {
    fn new(flow: &Flow) -> Self {
        let heads = flow.all_with(Op::ForIter);
        if heads.is_empty() {
            return Self::default();
        }
        let predecessors = flow.predecessors();
        let bodies = heads.into_iter().take(MAX_LOOPS).filter_map(|head| {
            let instructions = flow.loop_body(head, &predecessors);
            Some(Body { at: flow.at(head)?, instructions })
        });
        Self { all: bodies.filter(|body| !body.instructions.is_empty()).collect() }
    }
}
