//! The registers of the machine this is built for, by their numbers in DWARF.

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{
    CALLEE_SAVED, FRAME_POINTER, RETURN_ADDRESS, STACK_POINTER, code_address, frame_of_unknown_base,
};

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::{
    CALLEE_SAVED, FRAME_POINTER, RETURN_ADDRESS, STACK_POINTER, code_address, frame_of_unknown_base,
};

/// How many registers are numbered in a row, from 0 on.
pub(super) const REGISTERS: usize = 33;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::ops::Range;

    use gimli::{Register, X86_64};

    use crate::memory::PAGE;
    use crate::native::words::Words;

    /// The longest call has so many bytes.
    const LONGEST_CALL: u64 = 7;
    /// The beginning of a function in which it reserves its part of the stack.
    const PROLOGUE: usize = 96;
    /// What the end of a frame is a multiple of.
    const ALIGNMENT: u64 = 16;
    /// Bytes of arguments that a call has on the stack, behind six in registers.
    const MAX_PASSED: u64 = 32;
    /// How far up the stack the frame of a call is looked for that has room for arguments of any size.
    const MAX_ARGUMENTS: u64 = 64 * 1024;
    /// Where its frame lies from the register that most functions keep for that.
    const USUAL_OFFSET: i64 = 16;

    pub(in crate::native) const STACK_POINTER: Register = X86_64::RSP;
    pub(in crate::native) const FRAME_POINTER: Register = X86_64::RBP;
    pub(in crate::native) const RETURN_ADDRESS: Register = X86_64::RA;
    /// Those that a function gives back as it found them.
    pub(in crate::native) const CALLEE_SAVED: &[Register] =
        &[X86_64::RBX, X86_64::RBP, X86_64::R12, X86_64::R13, X86_64::R14, X86_64::R15];

    /// The address of code in what a frame has saved.
    pub(in crate::native) fn code_address(saved: u64) -> u64 {
        saved
    }

    /// Where the frame of a function ends that counts from a frame pointer which is not known. `code` is
    /// the function up to where it is, `saved` which registers are saved how far from the frame's
    /// end, `stack` where its stack ends, `offset` what its rule adds to the register.
    ///
    /// One that keeps the register in the usual way has pushed some registers and reserved a fixed
    /// room below them, which its beginning tells. One with room for arguments of any size, as libffi
    /// has for what it calls, is called by its address; the return address of that call is looked
    /// for. In either place there has to be an address behind a call.
    pub(in crate::native) fn frame_of_unknown_base(
        code: Range<u64>,
        saved: &[(Register, i64)],
        stack: u64,
        offset: i64,
        words: &mut Words<'_>,
    ) -> Option<u64> {
        if offset == USUAL_OFFSET {
            let len = code.end.checked_sub(code.start)?.min(PAGE);
            let code = words.bytes(code.start, len)?;
            let prologue = code.get(..PROLOGUE).unwrap_or(&code);
            let pushed = saved.iter().filter(|(register, at)| !is_stored(&code, *register, *at));
            // The return address, and what was pushed behind it.
            let pushed = u64::try_from(pushed.count()).ok()?.checked_add(1)?.checked_mul(8)?;
            let passed = (0..=MAX_PASSED).step_by(8);
            let size = pushed.checked_add(reserved(prologue).unwrap_or(0))?;
            let mut ends = passed.filter_map(|passed| stack.checked_add(size)?.checked_add(passed));
            return ends.find(|end| {
                end.is_multiple_of(ALIGNMENT) && is_return_address(end.wrapping_sub(8), words)
            });
        }
        let places = (stack..stack.saturating_add(MAX_ARGUMENTS)).step_by(8);
        let mut places = places.skip(1);
        places.find(|&at| called_from(at, words) == Some(code.start))?.checked_add(8)
    }

    /// How much the first subtraction from the stack pointer in some code reserves.
    fn reserved(code: &[u8]) -> Option<u64> {
        code.windows(7).find_map(|code| match *code {
            // sub $byte, %rsp
            [0x48, 0x83, 0xec, room, ..] => Some(u64::from(room)),
            // sub $word, %rsp
            [0x48, 0x81, 0xec, a, b, c, d] => Some(u64::from(u32::from_le_bytes([a, b, c, d]))),
            _ => None,
        })
    }

    /// Whether a register that is saved so far from the frame's end is stored in what the function
    /// has reserved, and not pushed: `mov %register, distance(%rbp)`.
    fn is_stored(code: &[u8], register: Register, at: i64) -> bool {
        let Ok(number) = u8::try_from(register.0) else { return false };
        // Their numbers in DWARF and in code agree for those that are saved.
        let (prefix, modes) = (0x48 | (number & 8) >> 1, (number & 7) << 3 | 5);
        let distance = at.saturating_add(USUAL_OFFSET);
        let is_near = |store: &[u8]| match *store {
            [0x89, mode, near] => mode == 0x40 | modes && i64::from(near.cast_signed()) == distance,
            _ => false,
        };
        let is_far = |store: &[u8]| match *store {
            [0x89, mode, a, b, c, d] => {
                mode == 0x80 | modes && i64::from(i32::from_le_bytes([a, b, c, d])) == distance
            }
            _ => false,
        };
        (0..code.len()).any(|start| {
            code.get(start) == Some(&prefix)
                && (code.get(start + 1..start + 4).is_some_and(is_near)
                    || code.get(start + 1..start + 7).is_some_and(is_far))
        })
    }

    /// Whether what lies at a place of the stack is an address behind a call.
    fn is_return_address(place: u64, words: &mut Words<'_>) -> bool {
        let before = words
            .word(place)
            .and_then(|address| words.bytes(address.checked_sub(LONGEST_CALL)?, LONGEST_CALL));
        before.is_some_and(|before| ends_in_call(&before))
    }

    /// What function the call before the address calls that lies at a place of the stack.
    fn called_from(place: u64, words: &mut Words<'_>) -> Option<u64> {
        let behind = words.word(place).filter(|&address| words.is_code(address))?;
        match *words.bytes(behind.checked_sub(5)?, 5)? {
            [0xe8, a, b, c, d] => {
                let distance = i32::from_le_bytes([a, b, c, d]);
                behind.checked_add_signed(i64::from(distance))
            }
            _ => None,
        }
    }

    /// Whether code ends in a call: of an address, or of one in a register or in memory.
    fn ends_in_call(code: &[u8]) -> bool {
        if code.len() >= 5 && code.get(code.len() - 5) == Some(&0xe8) {
            return true;
        }
        (0..code.len()).any(|at| match code.get(at..) {
            Some([0xff, modes, rest @ ..]) if (modes >> 3) & 7 == 2 => {
                let (mode, register) = (modes >> 6, modes & 7);
                let scaled = usize::from(mode != 3 && register == 4);
                let is_absolute = register == 5
                    || register == 4 && rest.first().is_some_and(|scale| scale & 7 == 5);
                let distance = match mode {
                    0 if is_absolute => 4,
                    1 => 1,
                    2 => 4,
                    _ => 0,
                };
                rest.len() == scaled + distance
            }
            _ => false,
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn calls_are_told_from_other_code() {
            for call in [
                &[0xe8, 1, 2, 3, 4][..],         // call rel32
                &[0xff, 0xd0],                   // call *%rax
                &[0x41, 0xff, 0xd4],             // call *%r12
                &[0xff, 0x10],                   // call *(%rax)
                &[0xff, 0x50, 0x28],             // call *0x28(%rax)
                &[0xff, 0x15, 1, 2, 3, 4],       // call *rel32(%rip)
                &[0xff, 0x94, 0xd8, 1, 2, 3, 4], // call *disp32(%rax,%rbx,8)
                &[0xff, 0x14, 0xc5, 1, 2, 3, 4], // call *disp32(,%rax,8)
            ] {
                let code = [&vec![0x90; 7 - call.len()], call].concat();
                assert!(ends_in_call(&code), "{call:x?}");
            }
            for other in [[0x90; 7], [0xff, 0xe0, 0x90, 0x90, 0x90, 0x90, 0x90], [0; 7]] {
                assert!(!ends_in_call(&other), "{other:x?}");
            }
        }

        #[test]
        fn beginnings_of_functions() {
            // push %rbp; mov %rsp, %rbp; push %r12; sub $0x30, %rsp; mov %rbx, -0x18(%rbp); nop …
            let code = [
                &[0x55, 0x48, 0x89, 0xe5, 0x41, 0x54, 0x48, 0x83, 0xec, 0x30][..],
                &[0x48, 0x89, 0x5d, 0xe8],
                &[0x90; 8],
            ];
            let code = code.concat();
            assert_eq!(reserved(&code), Some(0x30));
            assert!(is_stored(&code, X86_64::RBX, -40) && !is_stored(&code, X86_64::RBX, -32));
            assert!(!is_stored(&code, X86_64::R12, -24) && !is_stored(&code, X86_64::R14, -40));
            // sub $0x210, %rsp; mov %r14, -0x108(%rbp)
            let code =
                [0x48, 0x81, 0xec, 0x10, 0x02, 0, 0, 0x4c, 0x89, 0xb5, 0xf8, 0xfe, 0xff, 0xff];
            assert_eq!(reserved(&code), Some(0x210));
            assert!(is_stored(&code, X86_64::R14, -0x118));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::ops::Range;

    use gimli::{AArch64, Register};

    use crate::native::words::Words;

    pub(in crate::native) const STACK_POINTER: Register = AArch64::SP;
    pub(in crate::native) const FRAME_POINTER: Register = AArch64::X29;
    pub(in crate::native) const RETURN_ADDRESS: Register = AArch64::X30;
    /// Those that a function gives back as it found them.
    pub(in crate::native) const CALLEE_SAVED: &[Register] = &[
        AArch64::X19,
        AArch64::X20,
        AArch64::X21,
        AArch64::X22,
        AArch64::X23,
        AArch64::X24,
        AArch64::X25,
        AArch64::X26,
        AArch64::X27,
        AArch64::X28,
        AArch64::X29,
    ];

    /// The address of code in what a frame has saved: it may be signed, in the bits above those of
    /// addresses.
    pub(in crate::native) fn code_address(saved: u64) -> u64 {
        saved & ((1 << 48) - 1)
    }

    /// Where the frame of a function ends that counts from a frame pointer which is not known: here
    /// each function saves that beside the return address, so that it is known.
    pub(in crate::native) fn frame_of_unknown_base(
        _code: Range<u64>,
        _saved: &[(Register, i64)],
        _stack: u64,
        _offset: i64,
        _words: &mut Words<'_>,
    ) -> Option<u64> {
        None
    }
}
