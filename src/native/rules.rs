//! The rules of one file by which a caller's registers are found.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EhFrameOffset, EndianSlice, LittleEndian, Pointer,
    Register, RegisterRule, UnwindContext, UnwindSection,
};

use super::machine::{
    CALLEE_SAVED, FRAME_POINTER, REGISTERS, RETURN_ADDRESS, STACK_POINTER, code_address,
    frame_of_unknown_base,
};
use super::words::Words;
use crate::memory::{Address, ReadMemory};
use crate::process::Unwinding;

/// The rules of the largest libraries, with hundreds of megabytes of code, have 30 MiB.
const MAX_RULES: u64 = 64 << 20;

/// Registers of a frame, as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    pub(super) counter: u64,
    values: [Option<u64>; REGISTERS],
}

impl Registers {
    pub(super) fn new(stack: u64, counter: u64) -> Self {
        let mut registers = Self { counter, values: [None; REGISTERS] };
        registers.set(STACK_POINTER, Some(stack));
        registers
    }

    fn get(&self, register: Register) -> Option<u64> {
        self.values.get(usize::from(register.0)).copied().flatten()
    }

    fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(place) = self.values.get_mut(usize::from(register.0)) {
            *place = value;
        }
    }

    pub(super) fn stack(&self) -> u64 {
        self.get(STACK_POINTER).unwrap_or_default()
    }
}

/// Why there is no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is the outermost function.
    Root,
    /// It is not known.
    Lost,
}

/// The rules of one file, copied.
#[derive(Debug)]
pub(super) struct Rules {
    header: Vec<u8>,
    frames: Vec<u8>,
    /// Where both lie in the target.
    bases: BaseAddresses,
    frames_at: u64,
}

impl Rules {
    pub(super) fn read(unwinding: &Unwinding, memory: &dyn ReadMemory) -> Option<Self> {
        let copy = |from: u64, to: u64| {
            let len = to.checked_sub(from).filter(|len| (1..=MAX_RULES).contains(len))?;
            let mut bytes = vec![0; usize::try_from(len).ok()?];
            memory.read(Address(from), &mut bytes).ok()?;
            Some(bytes)
        };
        let header = copy(unwinding.header.start, unwinding.header.end)?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(unwinding.header.start);
        let parsed = EhFrameHdr::new(&header, LittleEndian).parse(&bases, 8).ok()?;
        let frames_at = parsed.eh_frame_ptr().direct().ok()?;
        // Their end is not told, but they end with a zero, and each is found by the header.
        let range = unwinding.from(frames_at)?;
        let frames = copy(range.start, range.end)?;
        Some(Self { header, frames, bases: bases.set_eh_frame(frames_at), frames_at })
    }

    /// The caller of the function at `at`, whose registers are `known`.
    pub(super) fn step(
        &self,
        at: u64,
        known: &Registers,
        words: &mut Words<'_>,
    ) -> Result<Registers, End> {
        self.try_step(at, known, words).unwrap_or(Err(End::Lost))
    }

    fn try_step(
        &self,
        at: u64,
        known: &Registers,
        words: &mut Words<'_>,
    ) -> Option<Result<Registers, End>> {
        let frames = self.frames();
        let header = EhFrameHdr::new(&self.header, LittleEndian).parse(&self.bases, 8).ok()?;
        let entry = header.table()?.lookup(at, &self.bases).and_then(Pointer::direct).ok()?;
        let offset = usize::try_from(entry.checked_sub(self.frames_at)?).ok()?;
        let entry = frames
            .fde_from_offset(&self.bases, EhFrameOffset(offset), EhFrame::cie_from_offset)
            .ok()
            .filter(|entry| entry.contains(at))?;
        let mut context = UnwindContext::new();
        let row = entry.unwind_info_for_address(&frames, &self.bases, &mut context, at).ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let frame = if let Some(base) = known.get(*register) {
            base.checked_add_signed(*offset)?
        } else if *register == FRAME_POINTER {
            let saved = row.registers().filter(|(it, _)| CALLEE_SAVED.contains(it));
            let saved: Vec<_> = saved
                .filter_map(|(register, rule)| match rule {
                    RegisterRule::Offset(offset) => Some((*register, *offset)),
                    _ => None,
                })
                .collect();
            let (code, stack) = (entry.initial_address()..at, known.stack());
            frame_of_unknown_base(code, &saved, stack, *offset, words)?
        } else {
            return None;
        };
        let mut saved = |register: Register, unchanged: Option<u64>| match row.register(register) {
            Some(RegisterRule::Offset(offset)) => words.word(frame.checked_add_signed(offset)?),
            Some(RegisterRule::ValOffset(offset)) => frame.checked_add_signed(offset),
            Some(RegisterRule::SameValue) | None => unchanged,
            _ => None,
        };
        if row.register(RETURN_ADDRESS) == Some(RegisterRule::Undefined) {
            return Some(Err(End::Root));
        }
        let counter = code_address(saved(RETURN_ADDRESS, known.get(RETURN_ADDRESS))?);
        if counter == 0 {
            return Some(Err(End::Root));
        }
        let mut caller = Registers::new(frame, counter);
        for &register in CALLEE_SAVED {
            caller.set(register, saved(register, known.get(register)));
        }
        Some(Ok(caller))
    }

    fn frames(&self) -> EhFrame<EndianSlice<'_, LittleEndian>> {
        let mut frames = EhFrame::new(&self.frames, LittleEndian);
        if cfg!(target_arch = "aarch64") {
            frames.set_vendor(gimli::Vendor::AArch64);
        }
        frames
    }
}
