//! What opcodes mean, as far as the flow of control around exception handlers goes.
//!
//! From 3.11 on the interpreter replaces opcodes in place by specialized and instrumented ones,
//! so each meaning lists all of them.

use serde::Serialize;

/// The opcodes of one minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Opcodes {
    /// What opcodes mean; of no interest are those that are missing.
    pub meanings: &'static [(Op, &'static [u8])],
    /// How many units of cache follow opcodes.
    pub caches: &'static [(u8, &'static [u8])],
    /// Bytes per unit of the argument of a jump.
    pub jump_unit: u64,
    /// How many bits of the argument of `LOAD_GLOBAL` are before the number of the name.
    pub global_shift: u32,
    /// The same of `LOAD_ATTR`.
    pub attribute_shift: u32,
}

/// The meaning of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Op {
    /// `EXTENDED_ARG`: high bits of the next instruction's argument.
    ExtendedArg,
    /// Goes on further down, counted from the next instruction.
    JumpForward,
    /// Goes on further up, counted from the next instruction.
    JumpBackward,
    /// Goes on at its argument.
    JumpAbsolute,
    /// `JUMP_BACKWARD_NO_INTERRUPT`: back to the `SEND` of an await.
    AwaitAgain,
    /// Goes on with the next instruction or further down.
    BranchForward,
    /// `FOR_ITER`: the same, with the next value of an iterator or behind the loop.
    ForIter,
    /// Goes on with the next instruction or further up.
    BranchBackward,
    /// Goes on with the next instruction or at its argument.
    BranchAbsolute,
    /// `SEND`: one step of an await; goes on further down when that has ended.
    Send,
    /// `YIELD_FROM`: a whole await, up to 3.10.
    YieldFrom,
    /// `YIELD_VALUE`.
    Yield,
    /// `SETUP_FINALLY`: exceptions in what follows go to a handler further down, up to 3.10.
    Protect,
    /// `SETUP_WITH`, `SETUP_ASYNC_WITH`.
    ProtectWith,
    /// `CALL_FINALLY` of 3.8: runs a `finally` and comes back.
    CallFinally,
    /// `BEGIN_FINALLY` of 3.8: the `finally` that follows has no exception to raise again.
    BeginFinally,
    /// `END_FINALLY` of 3.8: raises again, comes back or goes on.
    EndFinally,
    /// `POP_FINALLY` of 3.8: the `finally` is left, its exception is forgotten.
    PopFinally,
    /// `WITH_EXCEPT_START`: calls `__exit__` with an exception.
    WithExceptStart,
    /// `WITH_CLEANUP_FINISH` of 3.8: forgets the exception if `__exit__` said so.
    WithFinish,
    /// `END_ASYNC_FOR`.
    EndAsyncFor,
    /// `PUSH_EXC_INFO`: a handler begins.
    PushExcInfo,
    /// `POP_EXCEPT`: a handler is left, its exception is forgotten.
    PopExcept,
    /// `RAISE_VARARGS`, `RERAISE`.
    Raise,
    /// The function returns.
    Return,
    /// `CHECK_EXC_MATCH`, `CHECK_EG_MATCH`: compares with what an `except` wants.
    CheckExcMatch,
    /// `JUMP_IF_NOT_EXC_MATCH` of 3.9 and 3.10: compares and goes on at its argument if not.
    MatchBranch,
    /// `COMPARE_OP` of 3.8, which can also do that.
    Compare,
    /// `LOAD_CONST`.
    LoadConst,
    /// `LOAD_GLOBAL`.
    LoadGlobal,
    /// `LOAD_NAME`.
    LoadName,
    /// `LOAD_ATTR`, `LOAD_METHOD`.
    LoadAttr,
    /// `LOAD_FAST` and its like.
    LoadFast,
    /// `LOAD_DEREF`.
    LoadDeref,
    /// `DUP_TOP`, `COPY`.
    Copy,
    /// `POP_TOP`.
    PopTop,
    /// A variable is set.
    Store,
    /// Another opcode stands behind it, that of a traced line for example.
    Hidden,
}

/// Python 3.8.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP38: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[144]),
        (Op::JumpForward, &[110]),
        (Op::JumpAbsolute, &[113]),
        (Op::ForIter, &[93]),
        (Op::BranchAbsolute, &[111, 112, 114, 115]),
        (Op::YieldFrom, &[72]),
        (Op::Yield, &[86]),
        (Op::Protect, &[122]),
        (Op::ProtectWith, &[143, 154]),
        (Op::CallFinally, &[162]),
        (Op::BeginFinally, &[53]),
        (Op::EndFinally, &[88]),
        (Op::PopFinally, &[163]),
        (Op::WithExceptStart, &[81]),
        (Op::WithFinish, &[82]),
        (Op::EndAsyncFor, &[54]),
        (Op::PopExcept, &[89]),
        (Op::Raise, &[130]),
        (Op::Return, &[83]),
        (Op::Compare, &[107]),
        (Op::LoadConst, &[100]),
        (Op::LoadGlobal, &[116]),
        (Op::LoadName, &[101]),
        (Op::LoadAttr, &[106, 160]),
        (Op::LoadFast, &[124]),
        (Op::LoadDeref, &[136]),
        (Op::Copy, &[4]),
        (Op::PopTop, &[1]),
        (Op::Store, &[90, 97, 125, 137]),
    ],
    caches: &[],
    jump_unit: 1,
    global_shift: 0,
    attribute_shift: 0,
};

/// Python 3.9.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP39: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[144]),
        (Op::JumpForward, &[110]),
        (Op::JumpAbsolute, &[113]),
        (Op::ForIter, &[93]),
        (Op::BranchAbsolute, &[111, 112, 114, 115]),
        (Op::YieldFrom, &[72]),
        (Op::Yield, &[86]),
        (Op::Protect, &[122]),
        (Op::ProtectWith, &[143, 154]),
        (Op::WithExceptStart, &[49]),
        (Op::EndAsyncFor, &[54]),
        (Op::PopExcept, &[89]),
        (Op::Raise, &[48, 130]),
        (Op::Return, &[83]),
        (Op::MatchBranch, &[121]),
        (Op::LoadConst, &[100]),
        (Op::LoadGlobal, &[116]),
        (Op::LoadName, &[101]),
        (Op::LoadAttr, &[106, 160]),
        (Op::LoadFast, &[124]),
        (Op::LoadDeref, &[136]),
        (Op::Copy, &[4]),
        (Op::PopTop, &[1]),
        (Op::Store, &[90, 97, 125, 137]),
    ],
    caches: &[],
    jump_unit: 1,
    global_shift: 0,
    attribute_shift: 0,
};

/// Python 3.10.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP310: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[144]),
        (Op::JumpForward, &[110]),
        (Op::JumpAbsolute, &[113]),
        (Op::ForIter, &[93]),
        (Op::BranchAbsolute, &[111, 112, 114, 115]),
        (Op::YieldFrom, &[72]),
        (Op::Yield, &[86]),
        (Op::Protect, &[122]),
        (Op::ProtectWith, &[143, 154]),
        (Op::WithExceptStart, &[49]),
        (Op::EndAsyncFor, &[54]),
        (Op::PopExcept, &[89]),
        (Op::Raise, &[119, 130]),
        (Op::Return, &[83]),
        (Op::MatchBranch, &[121]),
        (Op::LoadConst, &[100]),
        (Op::LoadGlobal, &[116]),
        (Op::LoadName, &[101]),
        (Op::LoadAttr, &[106, 160]),
        (Op::LoadFast, &[124]),
        (Op::LoadDeref, &[136]),
        (Op::Copy, &[4]),
        (Op::PopTop, &[1]),
        (Op::Store, &[90, 97, 125, 137]),
    ],
    caches: &[],
    jump_unit: 2,
    global_shift: 0,
    attribute_shift: 0,
};

/// Python 3.11.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP311: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[34, 144]),
        (Op::JumpForward, &[110]),
        (Op::JumpBackward, &[38, 140]),
        (Op::AwaitAgain, &[134]),
        (Op::BranchForward, &[111, 112, 114, 115, 128, 129]),
        (Op::ForIter, &[93]),
        (Op::BranchBackward, &[173, 174, 175, 176]),
        (Op::Send, &[123]),
        (Op::Yield, &[86]),
        (Op::WithExceptStart, &[49]),
        (Op::EndAsyncFor, &[54]),
        (Op::PushExcInfo, &[35]),
        (Op::PopExcept, &[89]),
        (Op::Raise, &[119, 130]),
        (Op::Return, &[83]),
        (Op::CheckExcMatch, &[36, 37]),
        (Op::LoadConst, &[44, 100]),
        (Op::LoadGlobal, &[47, 48, 55, 116]),
        (Op::LoadName, &[101]),
        (Op::LoadAttr, &[39, 40, 41, 42, 43, 56, 57, 58, 59, 62, 63, 106, 160]),
        (Op::LoadFast, &[45, 46, 124]),
        (Op::LoadDeref, &[137]),
        (Op::Copy, &[120]),
        (Op::PopTop, &[1]),
        (Op::Store, &[90, 97, 125, 138, 161, 167]),
    ],
    caches: &[
        (
            1,
            &[
                3, 4, 5, 6, 7, 8, 13, 14, 16, 60, 64, 65, 66, 67, 72, 73, 76, 77, 78, 79, 80, 81,
                92, 113, 121, 122, 127, 141, 143, 166, 168, 169, 170, 177, 178, 179, 180,
            ],
        ),
        (2, &[26, 27, 28, 29, 107]),
        (
            4,
            &[
                17, 18, 19, 20, 21, 22, 23, 24, 25, 39, 40, 41, 42, 43, 95, 106, 153, 154, 158,
                159, 171,
            ],
        ),
        (5, &[47, 48, 55, 116]),
        (10, &[56, 57, 58, 59, 62, 63, 160]),
    ],
    jump_unit: 2,
    global_shift: 1,
    attribute_shift: 0,
};

/// Python 3.12.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP312: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[144]),
        (Op::JumpForward, &[110, 245]),
        (Op::JumpBackward, &[140, 246]),
        (Op::AwaitAgain, &[134]),
        (Op::BranchForward, &[114, 115, 128, 129, 238, 239, 249, 250]),
        (Op::ForIter, &[62, 63, 64, 65, 93, 248]),
        (Op::Send, &[123, 168]),
        (Op::Yield, &[150, 243]),
        (Op::WithExceptStart, &[49]),
        (Op::EndAsyncFor, &[54]),
        (Op::PushExcInfo, &[35]),
        (Op::PopExcept, &[89]),
        (Op::Raise, &[119, 130]),
        (Op::Return, &[83, 121, 242, 247]),
        (Op::CheckExcMatch, &[36, 37]),
        (Op::LoadConst, &[84, 100]),
        (Op::LoadGlobal, &[111, 112, 116]),
        (Op::LoadName, &[101]),
        (Op::LoadAttr, &[70, 72, 73, 76, 77, 78, 79, 80, 81, 82, 106]),
        (Op::LoadFast, &[86, 88, 124, 127]),
        (Op::LoadDeref, &[137]),
        (Op::Copy, &[120]),
        (Op::PopTop, &[1]),
        (Op::Store, &[90, 97, 125, 138, 154, 158]),
        (Op::Hidden, &[253, 254]),
    ],
    caches: &[
        (
            1,
            &[
                6, 7, 8, 10, 13, 14, 16, 18, 19, 20, 21, 22, 25, 57, 58, 59, 60, 62, 63, 64, 65,
                66, 67, 92, 93, 107, 122, 123, 141, 159, 160, 161, 166, 167, 168, 237, 248,
            ],
        ),
        (3, &[23, 24, 28, 29, 34, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 56, 171, 241]),
        (4, &[95, 111, 112, 113, 116, 148, 153]),
        (9, &[70, 72, 73, 76, 77, 78, 79, 80, 81, 82, 106]),
    ],
    jump_unit: 2,
    global_shift: 1,
    attribute_shift: 1,
};

/// Python 3.13.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP313: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[71]),
        (Op::JumpForward, &[79, 248]),
        (Op::JumpBackward, &[77, 249]),
        (Op::AwaitAgain, &[78]),
        (Op::BranchForward, &[97, 98, 99, 100, 250, 251, 252, 253]),
        (Op::ForIter, &[72, 187, 188, 189, 190, 243]),
        (Op::Send, &[104, 208]),
        (Op::Yield, &[118, 241]),
        (Op::WithExceptStart, &[44]),
        (Op::EndAsyncFor, &[10]),
        (Op::PushExcInfo, &[33]),
        (Op::PopExcept, &[31]),
        (Op::Raise, &[101, 102]),
        (Op::Return, &[36, 103, 239, 240]),
        (Op::CheckExcMatch, &[6, 7]),
        (Op::LoadConst, &[83]),
        (Op::LoadGlobal, &[91, 203, 204]),
        (Op::LoadName, &[92]),
        (Op::LoadAttr, &[82, 191, 192, 193, 194, 195, 196, 197, 198, 199, 200, 201, 202]),
        (Op::LoadFast, &[85, 87]),
        (Op::LoadDeref, &[84]),
        (Op::Copy, &[61]),
        (Op::PopTop, &[32]),
        (Op::Store, &[109, 110, 113, 114]),
        (Op::Hidden, &[70, 247, 254]),
    ],
    caches: &[
        (
            1,
            &[
                3, 5, 39, 45, 58, 59, 72, 77, 93, 97, 98, 99, 100, 104, 117, 150, 151, 152, 153,
                154, 155, 156, 157, 158, 159, 160, 161, 182, 183, 184, 185, 186, 187, 188, 189,
                190, 205, 206, 208, 212, 213, 220, 221, 222, 242, 243, 249, 250, 251, 252, 253,
            ],
        ),
        (
            3,
            &[
                40, 53, 162, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176,
                177, 178, 179, 180, 181, 214, 215, 216, 217, 218, 219, 244,
            ],
        ),
        (4, &[91, 108, 203, 204, 209, 210, 211]),
        (9, &[82, 191, 192, 193, 194, 195, 196, 197, 198, 199, 200, 201, 202]),
    ],
    jump_unit: 2,
    global_shift: 1,
    attribute_shift: 1,
};

/// Python 3.14.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP314: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[69]),
        (Op::JumpForward, &[77, 239]),
        (Op::JumpBackward, &[75, 175, 176, 253]),
        (Op::AwaitAgain, &[76]),
        (Op::BranchForward, &[100, 101, 102, 103, 241, 242, 243, 244]),
        (Op::ForIter, &[70, 171, 172, 173, 174, 237]),
        (Op::Send, &[106, 197]),
        (Op::Yield, &[120, 247]),
        (Op::WithExceptStart, &[43]),
        (Op::EndAsyncFor, &[68, 248]),
        (Op::PushExcInfo, &[32]),
        (Op::PopExcept, &[29]),
        (Op::Raise, &[104, 105]),
        (Op::Return, &[35, 246]),
        (Op::CheckExcMatch, &[5, 6]),
        (Op::LoadConst, &[82, 190, 191]),
        (Op::LoadGlobal, &[92, 192, 193]),
        (Op::LoadName, &[93]),
        (Op::LoadAttr, &[80, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189]),
        (Op::LoadFast, &[84, 86, 88]),
        (Op::LoadDeref, &[83]),
        (Op::Copy, &[59]),
        (Op::PopTop, &[31]),
        (Op::Store, &[111, 112, 115, 116]),
        (Op::Hidden, &[238, 254, 255]),
    ],
    caches: &[
        (
            1,
            &[
                38, 56, 57, 70, 75, 96, 100, 101, 102, 103, 106, 119, 166, 167, 168, 169, 170, 171,
                172, 173, 174, 175, 176, 194, 195, 197, 201, 202, 209, 210, 211, 237, 241, 242,
                243, 244, 249, 253,
            ],
        ),
        (
            3,
            &[
                39, 52, 55, 143, 144, 145, 146, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156,
                157, 158, 159, 160, 161, 162, 163, 164, 165, 203, 204, 205, 206, 207, 208, 250,
                251,
            ],
        ),
        (4, &[92, 110, 192, 193, 198, 199, 200]),
        (5, &[3, 44, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142]),
        (9, &[80, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189]),
    ],
    jump_unit: 2,
    global_shift: 1,
    attribute_shift: 1,
};

/// Python 3.15.
// opcode.h, Lib/opcode.py, Lib/_opcode_metadata.py; live
pub const CP315: Opcodes = Opcodes {
    meanings: &[
        (Op::ExtendedArg, &[67]),
        (Op::JumpForward, &[76, 238]),
        (Op::JumpBackward, &[74, 181, 182, 252]),
        (Op::AwaitAgain, &[75]),
        (Op::BranchForward, &[99, 100, 101, 102, 240, 241, 242, 243]),
        (Op::ForIter, &[68, 174, 175, 176, 177, 178, 236]),
        (Op::Send, &[105, 202, 203, 204]),
        (Op::Yield, &[119, 246]),
        (Op::WithExceptStart, &[41]),
        (Op::EndAsyncFor, &[66, 247]),
        (Op::PushExcInfo, &[30]),
        (Op::PopExcept, &[27]),
        (Op::Raise, &[103, 104]),
        (Op::Return, &[33, 245]),
        (Op::CheckExcMatch, &[5, 6]),
        (Op::LoadConst, &[81]),
        (Op::LoadGlobal, &[91, 196, 197]),
        (Op::LoadName, &[92]),
        (Op::LoadAttr, &[79, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195]),
        (Op::LoadFast, &[83, 85, 87]),
        (Op::LoadDeref, &[82]),
        (Op::Copy, &[57]),
        (Op::PopTop, &[29]),
        (Op::Store, &[110, 111, 114, 115]),
        (Op::Hidden, &[237, 253, 254]),
    ],
    caches: &[
        (
            1,
            &[
                4, 36, 54, 55, 68, 70, 74, 95, 99, 100, 101, 102, 105, 118, 128, 151, 152, 169,
                170, 171, 172, 173, 174, 175, 176, 177, 178, 179, 180, 181, 182, 198, 199, 200,
                201, 202, 203, 204, 208, 209, 216, 217, 218, 236, 240, 241, 242, 243, 244, 248,
                251, 252,
            ],
        ),
        (
            3,
            &[
                37, 50, 53, 144, 145, 146, 147, 148, 149, 150, 153, 154, 155, 156, 157, 158, 159,
                160, 161, 162, 163, 164, 165, 166, 167, 168, 210, 211, 212, 213, 214, 215, 249,
                250,
            ],
        ),
        (4, &[91, 109, 196, 197, 205, 206, 207]),
        (5, &[3, 42, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143]),
        (9, &[79, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195]),
    ],
    jump_unit: 2,
    global_shift: 1,
    attribute_shift: 1,
};
