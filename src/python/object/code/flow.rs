//! How the instructions of a function follow each other, as far as exception handlers go.

use std::ops::Range;

use super::{Code, Protected};
use crate::layout::opcodes::{Op, Opcodes};
use crate::python::object::{Read, Reader, Unreadable};

/// Ways through one handler that are followed; the handlers of the standard library have at most
/// some hundred instructions.
const MAX_STATES: usize = 20_000;
/// Handlers of `finally` inside one handler that are followed, in 3.8.
const MAX_NESTED: usize = 20;
/// Ways from one instruction to the next in functions whose loops are looked for, those of exceptions
/// included; the longest functions seen have some hundred thousand instructions.
const MAX_EDGES: usize = 2_000_000;

/// An instruction with its prefixes and caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instruction {
    /// Its first prefix, in bytes.
    pub start: u64,
    /// Behind its caches.
    pub end: u64,
    /// What it means, if that matters here.
    pub op: Option<Op>,
    /// Its argument.
    pub argument: u32,
    /// Where it may go on, other than with the next one.
    pub target: Option<usize>,
}

/// The instructions of a code object.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) instructions: Vec<Instruction>,
    /// Instructions that end an `async for` by an exception, with where it goes.
    loop_ends: Vec<(usize, usize)>,
    /// Instructions in which an exception goes to a handler: first, behind the last, handler.
    protected: Vec<(usize, usize, usize)>,
}

/// Where a handler leads.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Instructions after which the exception is forgotten.
    pub leaves: Vec<usize>,
    /// Whether some way through it raises.
    pub raises: bool,
}

impl Reader<'_> {
    /// The instructions of a code object, decoded; not while its lines are traced, from 3.12 on.
    pub(crate) fn flow<'c>(&self, code: &'c Code) -> Read<&'c Flow> {
        if let Some(flow) = code.flow.get() {
            return Ok(flow);
        }
        let bytes = self.instructions(code)?;
        let flow = Flow::new(bytes, &self.layout.opcodes, self.protected(code)?);
        // What is behind the opcode of a traced line, and how many caches follow it, is not here.
        if flow.instructions.iter().any(|one| one.op == Some(Op::Hidden)) {
            return Err(Unreadable::bad(code.at, "code that is being traced"));
        }
        Ok(code.flow.get_or_init(|| flow))
    }
}

impl Flow {
    fn new(bytes: &[u8], opcodes: &Opcodes, rows: &[Protected]) -> Self {
        let mut meanings = [None; 256];
        for (op, codes) in opcodes.meanings {
            for code in *codes {
                if let Some(meaning) = meanings.get_mut(usize::from(*code)) {
                    *meaning = Some(*op);
                }
            }
        }
        let mut caches = [0; 256];
        for (units, codes) in opcodes.caches {
            for code in *codes {
                if let Some(cache) = caches.get_mut(usize::from(*code)) {
                    *cache = u64::from(*units);
                }
            }
        }
        let mut instructions = Vec::new();
        let (mut start, mut prefix, mut skip) = (None, 0_u32, 0_u64);
        for ([opcode, argument], at) in bytes.as_chunks::<2>().0.iter().zip((0_u64..).step_by(2)) {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let op = meanings.get(usize::from(*opcode)).copied().flatten();
            let argument = prefix << 8 | u32::from(*argument);
            let first = *start.get_or_insert(at);
            if op == Some(Op::ExtendedArg) {
                prefix = argument;
                continue;
            }
            skip = caches.get(usize::from(*opcode)).copied().unwrap_or(0);
            let end = at + 2 + 2 * skip;
            instructions.push(Instruction { start: first, end, op, argument, target: None });
            (start, prefix) = (None, 0);
        }
        let mut flow = Self { instructions, loop_ends: Vec::new(), protected: Vec::new() };
        flow.find_targets(opcodes.jump_unit);
        flow.find_protected(rows);
        flow
    }

    fn find_targets(&mut self, unit: u64) {
        let targets: Vec<Option<usize>> = self
            .instructions
            .iter()
            .map(|instruction| {
                let by = u64::from(instruction.argument) * unit;
                let target = match instruction.op? {
                    Op::JumpForward
                    | Op::BranchForward
                    | Op::ForIter
                    | Op::Send
                    | Op::Protect
                    | Op::ProtectWith
                    | Op::CallFinally => instruction.end + by,
                    Op::JumpBackward | Op::AwaitAgain | Op::BranchBackward => {
                        instruction.end.checked_sub(by)?
                    }
                    Op::JumpAbsolute | Op::BranchAbsolute | Op::MatchBranch => by,
                    _ => return None,
                };
                self.index_of(target)
            })
            .collect();
        for (instruction, target) in self.instructions.iter_mut().zip(targets) {
            instruction.target = target;
        }
    }

    /// Notes what goes to which handler, by the exception table or the instructions that set it
    /// up.
    fn find_protected(&mut self, rows: &[Protected]) {
        let mut protected = Vec::new();
        for row in rows {
            let end = self.instructions.partition_point(|one| one.start < row.end);
            if let (Some(start), Some(target)) =
                (self.index_of(row.start), self.index_of(row.target))
            {
                protected.push((start, end, target));
            }
        }
        for (i, instruction) in self.instructions.iter().enumerate() {
            if let (Some(Op::Protect | Op::ProtectWith), Some(target)) =
                (instruction.op, instruction.target)
            {
                // The handler follows what it is for.
                protected.push((i, target, target));
            }
        }
        let ends =
            protected.iter().filter(|(_, _, target)| self.op(*target) == Some(Op::EndAsyncFor));
        self.loop_ends = ends.map(|&(start, _, target)| (start, target)).collect();
        self.protected = protected;
    }

    /// The instruction at `at` bytes.
    pub fn index_of(&self, at: u64) -> Option<usize> {
        let index = self.instructions.partition_point(|one| one.end <= at);
        self.instructions.get(index).filter(|one| one.start <= at).map(|_| index)
    }

    /// What an instruction means.
    pub fn op(&self, index: usize) -> Option<Op> {
        self.instructions.get(index)?.op
    }

    /// Where an instruction goes other than to the next.
    pub fn target(&self, index: usize) -> Option<usize> {
        self.instructions.get(index)?.target
    }

    /// Where an instruction is, in bytes.
    pub fn at(&self, index: usize) -> Option<u64> {
        self.instructions.get(index).map(|one| one.start)
    }

    /// All handlers, in order.
    pub fn handlers(&self) -> Vec<usize> {
        let mut handlers: Vec<usize> =
            self.protected.iter().map(|&(_, _, target)| target).collect();
        handlers.sort_unstable();
        handlers.dedup();
        handlers
    }

    /// The first instruction whose exceptions go to a handler.
    pub fn first_protected(&self, handler: usize) -> Option<usize> {
        let of_handler = self.protected.iter().filter(|(_, _, target)| *target == handler);
        of_handler.map(|&(start, ..)| start).min()
    }

    /// Whether a `CancelledError` can come out of an await that goes to this handler.
    pub fn protects_await(&self, handler: usize) -> bool {
        let mut of_handler = self.protected.iter().filter(|(_, _, target)| *target == handler);
        of_handler.any(|&(start, end, _)| {
            let covered = self.instructions.get(start..end).unwrap_or_default();
            covered.iter().any(|one| matches!(one.op, Some(Op::Send | Op::YieldFrom | Op::Yield)))
        })
    }

    /// Where an instruction may go on without an exception.
    fn successors(&self, index: usize) -> [Option<usize>; 2] {
        let next = Some(index + 1).filter(|&next| next < self.instructions.len());
        let Some(instruction) = self.instructions.get(index) else { return [None; 2] };
        match instruction.op {
            Some(Op::Raise | Op::Return) => [None; 2],
            Some(Op::JumpForward | Op::JumpBackward | Op::JumpAbsolute | Op::AwaitAgain) => {
                [instruction.target, None]
            }
            Some(Op::Protect | Op::ProtectWith) => [next, None],
            _ => [next, instruction.target],
        }
    }

    /// The instructions that are come to from `starts`, and whether one of them returns.
    ///
    /// `with_exceptions` also follows every exception to its handler.
    pub fn reach(&self, starts: &[usize], with_exceptions: bool) -> (Vec<bool>, bool) {
        let mut seen = vec![false; self.instructions.len()];
        let mut returns = false;
        let mut open: Vec<usize> = starts.to_vec();
        while let Some(index) = open.pop() {
            match seen.get_mut(index) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            returns |= self.op(index) == Some(Op::Return);
            open.extend(self.successors(index).into_iter().flatten());
            // The only way out of an `async for`.
            let ends = self.loop_ends.iter().filter(|(start, _)| *start == index);
            open.extend(ends.map(|&(_, target)| target));
            if with_exceptions {
                let covering =
                    self.protected.iter().filter(|(start, end, _)| (*start..*end).contains(&index));
                open.extend(covering.map(|&(_, _, target)| target));
            }
        }
        (seen, returns)
    }

    /// The instructions with this meaning.
    pub fn all_with(&self, op: Op) -> Vec<usize> {
        let is_it = |index: &usize| self.op(*index) == Some(op);
        (0..self.instructions.len()).filter(is_it).collect()
    }

    /// From where each instruction is come to, exceptions included; nothing where that would be too
    /// much.
    pub fn predecessors(&self) -> Vec<Vec<usize>> {
        let covered = self.protected.iter().map(|(start, end, _)| end.saturating_sub(*start));
        if self.instructions.len() + covered.sum::<usize>() > MAX_EDGES {
            return Vec::new();
        }
        let mut predecessors = vec![Vec::new(); self.instructions.len()];
        let mut add = |from: usize, to: usize| {
            if let Some(known) = predecessors.get_mut(to) {
                known.push(from);
            }
        };
        for index in 0..self.instructions.len() {
            for next in self.successors(index).into_iter().flatten() {
                add(index, next);
            }
        }
        for &(start, target) in &self.loop_ends {
            add(start, target);
        }
        for &(start, end, target) in &self.protected {
            for index in start..end {
                add(index, target);
            }
        }
        predecessors
    }

    /// The instructions of a loop, as ranges in order: all from which a jump back to its `head` is
    /// come to without the head itself.
    pub fn loop_body(&self, head: usize, predecessors: &[Vec<usize>]) -> Vec<Range<usize>> {
        let mut is_in = vec![false; self.instructions.len()];
        // What comes in from above is not of the loop.
        let before = predecessors.get(head).into_iter().flatten().copied();
        let mut open: Vec<usize> = before.filter(|&from| from > head).collect();
        while let Some(index) = open.pop() {
            match is_in.get_mut(index) {
                Some(seen) if !*seen && index != head => *seen = true,
                _ => continue,
            }
            open.extend(predecessors.get(index).into_iter().flatten());
        }
        let mut body: Vec<Range<usize>> = Vec::new();
        for (index, _) in is_in.iter().enumerate().filter(|(_, is_in)| **is_in) {
            match body.last_mut().filter(|last| last.end == index) {
                Some(last) => last.end += 1,
                None => body.push(index..index + 1),
            }
        }
        body
    }

    /// The instructions that follow one when it is done, without an exception; for one that is
    /// suspended in an await, when that has ended.
    pub fn after(&self, index: usize) -> Vec<usize> {
        // YIELD_VALUE, RESUME, JUMP_BACKWARD_NO_INTERRUPT to the SEND
        for ahead in index..index + 4 {
            if let (Some(Op::AwaitAgain), Some(send)) = (self.op(ahead), self.target(ahead)) {
                return self.target(send).into_iter().collect();
            }
            if !matches!(self.op(ahead), Some(Op::Yield) | None) {
                break;
            }
        }
        self.successors(index).into_iter().flatten().collect()
    }

    /// Follows a handler from `start` until it forgets the exception or raises.
    pub fn outcome(&self, start: usize) -> Outcome {
        let mut outcome = Outcome::default();
        // In 3.8 a `finally` is one piece of code for all ways into it: where to come back to is
        // part of the state, `None` for the code behind it.
        let mut open: Vec<(usize, Vec<Option<usize>>)> = vec![(start, Vec::new())];
        let mut seen = rustc_hash::FxHashSet::default();
        while let Some((index, mut back)) = open.pop() {
            if seen.len() >= MAX_STATES || back.len() > MAX_NESTED {
                break;
            }
            if !seen.insert((index, back.clone())) {
                continue;
            }
            match self.op(index) {
                Some(Op::Raise) => outcome.raises = true,
                // `except*` forgets what it caught before it raises what is left of a group.
                Some(Op::PopExcept) if self.op(index + 1) == Some(Op::Raise) => {
                    outcome.raises = true;
                }
                Some(Op::PopExcept | Op::Return) => outcome.leaves.push(index),
                Some(Op::WithFinish | Op::PopFinally) if back.is_empty() => {
                    outcome.leaves.push(index);
                }
                Some(Op::BeginFinally) => {
                    back.push(None);
                    open.push((index + 1, back));
                }
                Some(Op::CallFinally) => {
                    back.push(Some(index + 1));
                    open.extend(self.target(index).map(|target| (target, back)));
                }
                Some(Op::PopFinally) => {
                    back.pop();
                    open.push((index + 1, back));
                }
                Some(Op::EndFinally) => match back.pop() {
                    None => outcome.raises = true,
                    Some(to) => open.push((to.unwrap_or(index + 1), back)),
                },
                _ => {
                    for next in self.successors(index).into_iter().flatten() {
                        open.push((next, back.clone()));
                    }
                }
            }
        }
        outcome.leaves.sort_unstable();
        outcome.leaves.dedup();
        outcome
    }
}
