//! Frames of each era, built by its table.

use super::{Caller, Depth, Ending, HandlerKind, Progress, RawFrame};
use crate::layout::opcodes::Op;
use crate::layout::{CurrentFrame, Frame, GeneratorFrame};
use crate::memory::Address;
use crate::python::object::{Reader, Unreadable};
use crate::python::tests::{Function, Heap, LASTI, MINORS, NOWHERE, Stage, Values};

#[test]
fn a_coroutine_is_as_far_as_its_state_says() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let future = heap.none();
        let plain = heap.code(Function::default());
        let mut at =
            |stage, lasti| heap.generator("coroutine", plain, lasti, stage, Values::default());
        // Up to 3.12 a frame that has not begun stands before its first instruction.
        let created = at(Stage::Created, if minor < 13 { -2 } else { 0 });
        let suspended = at(Stage::Suspended, 4);
        let executing = at(Stage::Executing, 6);
        let finished = at(Stage::Finished, 8);
        let awaiting = heap.awaits(future);
        heap.read(|reader| {
            let read = |at| reader.generator(at).unwrap();
            let progress = |at| read(at).progress;
            assert_eq!(progress(created), Progress::Created, "3.{minor}");
            assert_eq!(progress(suspended), Progress::Suspended, "3.{minor}");
            assert_eq!(progress(executing), Progress::Executing, "3.{minor}");
            assert_eq!(progress(awaiting), Progress::Awaiting(future), "3.{minor}");
            assert_eq!((progress(finished), read(finished).frame), (Progress::Finished, None));
            let frame = read(suspended).frame.unwrap();
            assert_eq!(
                (frame.code, frame.lasti, frame.generator),
                (plain, 4, suspended),
                "3.{minor}"
            );
            assert_eq!(read(executing).frame.map(|frame| frame.lasti), Some(6), "3.{minor}");
            // Before 3.11 only the coroutine has the qualified name.
            assert_eq!(frame.qualname.is_null(), minor >= 11, "3.{minor}");
        });
    }
}

/// What is awaited is the topmost of the stack, whatever else lies below it.
#[test]
fn what_is_awaited_is_on_top_of_the_stack() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [future, held, local] = [heap.none(), heap.none(), heap.none()];
        let code = heap.awaiting_code();
        let code = Function { code: &code, locals: &["x", "y"], ..Function::default() };
        let code = heap.code(code);
        let values = Values { locals: &[local, Address::NULL], stack: &[held] };
        let stage = Stage::Awaiting(future);
        let at = heap.generator("coroutine", code, LASTI, stage, values);
        heap.read(|reader| {
            let read = reader.generator(at).unwrap();
            assert_eq!(read.progress, Progress::Awaiting(future), "3.{minor}");
            let frame = read.frame.unwrap();
            let locals = reader.locals(&frame).unwrap();
            let locals: Vec<_> = locals.iter().map(|(name, at)| (&**name, *at)).collect();
            assert_eq!(locals, [("x", local)], "3.{minor}");
            assert_eq!(reader.local(&frame, "y"), Ok(None), "3.{minor}");
            let references = reader.references_of_frame(&frame).unwrap();
            assert_eq!(references, [local, held, future], "3.{minor}");
        });
    }
}

/// From 3.11 on a frame keeps its function, which has the variables from around it; from 3.14 on the
/// lowest bits of that word tell a reference that is not counted.
#[test]
fn a_frame_refers_to_its_function() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let future = heap.none();
        let function = heap.function("work", &[("queue", future)]);
        let at = heap.awaits(future);
        let frame = heap.read(|reader| reader.generator(at).unwrap().frame.unwrap());
        let mut references = |word: u64| {
            if let Frame::Interpreter(fields) = heap.layout.frame {
                heap.word(frame.at.offset(fields.function), word);
            }
            heap.read(|reader| reader.references_of_frame(&frame).unwrap())
        };
        let expected = if minor < 11 { vec![future] } else { vec![function, future] };
        assert_eq!(references(function.0), expected, "3.{minor}");
        if minor >= 14 {
            assert_eq!(references(function.0 | 1), [future], "3.{minor}");
        }
    }
}

/// What a callback has a method called of is found in whatever way it comes to it, and nothing else.
#[test]
fn what_a_callback_gives_back_is_what_stands_before_the_method() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let class = heap.class("object");
        let plain = |heap: &mut Heap| heap.object(class, 16);
        let [slots, other] = [plain(&mut heap), plain(&mut heap)];
        let owner = heap.python_class("app", "Pool", Address::NULL);
        let owner = heap.instance(owner, &[("slots", slots), ("other", other)]);
        let names = &["slots", "release", "other", "locked"];
        let (locals, file) = (&["task"], "/srv/app.py");
        let of = |code| Function { name: "done", file, locals, names, code, ..Function::default() };

        // lambda task: self.other.locked() or self.slots.release()
        // Up to 3.10 cells are counted by themselves.
        let (own, cell) = (Op::LoadDeref, u32::from(minor >= 11));
        let (slots_at, release, other_at, locked) =
            ((Op::LoadAttr, 0), (Op::LoadAttr, 1), (Op::LoadAttr, 2), (Op::LoadAttr, 3));
        let both = [(own, cell), other_at, locked, (own, cell), slots_at, release];
        let both = heap.instructions(&both);
        let of_owner = heap.function_of(of(&both), &[("self", owner)]);
        // lambda task: slots.release()
        let code = heap.instructions(&[(own, cell), release]);
        let direct = heap.function_of(of(&code), &[("slots", slots)]);
        // def done(self, task): self.slots.release()
        let code = heap.instructions(&[(Op::LoadFast, 0), slots_at, release]);
        let function = heap.function_of(of(&code), &[]);
        let method = heap.method(function, owner);
        // partial(give_back, slots), lambda task, slots=slots: slots.release()
        let code = heap.instructions(&[(Op::LoadFast, 0), release]);
        let function = heap.function_of(of(&code), &[]);
        let partial = heap.partial(function, &[slots]);
        let default = heap.function_of(of(&code), &[]);
        let defaults = heap.tuple(&[slots]);
        heap.link(default.offset(heap.layout.function.defaults), defaults);
        // lambda task: slots.release(), with a global variable.
        let code = heap.instructions(&[(Op::LoadGlobal, 0), release]);
        let global = heap.function_of(of(&code), &[]);
        let globals = heap.namespace(&[("slots", slots)]);
        heap.link(global.offset(heap.layout.function.globals), globals);
        // One that only looks at it.
        let code = heap.instructions(&[(own, cell), slots_at, locked]);
        let looks = heap.function_of(of(&code), &[("self", owner)]);
        // lambda task: done(task)
        let code = heap.instructions(&[(own, cell), (Op::LoadFast, 0)]);
        let calls = heap.function_of(of(&code), &[("done", of_owner)]);
        heap.read(|reader| {
            let within = Depth { calls: 1, functions: 8 };
            let receivers =
                |at| reader.receivers(Caller::Callable(at), &|name| name == "release", within);
            for (at, which) in [
                (of_owner, "attribute"),
                (direct, "variable"),
                (method, "method"),
                (partial, "partial"),
                (default, "default"),
                (global, "global"),
                (calls, "call"),
            ] {
                assert_eq!(receivers(at), [slots], "3.{minor}: {which}");
            }
            assert!(receivers(looks).is_empty(), "3.{minor}");
            assert!(receivers(slots).is_empty(), "3.{minor}");
            let none = Depth { calls: 0, functions: 8 };
            let nearer = reader.receivers(Caller::Callable(calls), &|name| name == "release", none);
            assert!(nearer.is_empty(), "3.{minor}");
        });
    }
}

/// A stack that would be higher than the function needs, or that ends before it begins, is of
/// another frame by now.
#[test]
fn a_stack_that_cannot_be_is_not_believed() {
    for minor in MINORS {
        for count in [0, 5, 900] {
            let mut heap = Heap::of(minor);
            let future = heap.none();
            let code = heap.awaiting_code();
            let code = heap.code(Function { code: &code, stacksize: 4, ..Function::default() });
            let at = match count {
                0 => {
                    // Its state says that it awaits, and there is nothing.
                    let at = heap.awaits(future);
                    empty_stack(&mut heap, at);
                    at
                }
                count => {
                    let stack = vec![future; count.min(100)];
                    let values = Values { locals: &[], stack: &stack };
                    let stage = Stage::Awaiting(future);
                    heap.generator("coroutine", code, LASTI, stage, values)
                }
            };
            let read = heap.read(|reader| reader.generator(at));
            assert!(
                matches!(read, Err(Unreadable::Bad { what: "value stack", .. })),
                "3.{minor} with {count}: {read:?}"
            );
        }
    }
}

/// Where the frame of a coroutine is.
fn frame_of(heap: &Heap, coroutine: Address) -> Address {
    match heap.layout.generator.frame {
        GeneratorFrame::Embedded { frame, .. } => coroutine.offset(frame),
        GeneratorFrame::Pointer { frame, .. } => {
            heap.read(|reader| reader.pointer(coroutine.offset(frame)).unwrap().unwrap())
        }
    }
}

fn empty_stack(heap: &mut Heap, coroutine: Address) {
    let frame = frame_of(heap, coroutine);
    let code = heap.code(Function::default());
    let code = match heap.layout.frame {
        Frame::Object(fields) => heap.read(|it| it.pointer(frame.offset(fields.code)).unwrap()),
        Frame::Interpreter(fields) => {
            heap.read(|it| it.pointer(frame.offset(fields.executable)).unwrap())
        }
    }
    .unwrap_or(code);
    heap.frame(frame, code, LASTI, Values::default());
}

/// A frame whose code is no code, whose owner does not exist or whose instruction lies outside of
/// all code is none.
#[test]
fn what_is_no_frame_is_said_to_be_none() {
    for minor in MINORS {
        let broken = |breaks: &dyn Fn(&mut Heap, Address)| {
            let mut heap = Heap::of(minor);
            let future = heap.none();
            let at = heap.awaits(future);
            let frame = frame_of(&heap, at);
            breaks(&mut heap, frame);
            heap.read(|reader| reader.generator(at)).unwrap_err()
        };
        let code_field = |heap: &Heap| match heap.layout.frame {
            Frame::Object(fields) => fields.code,
            Frame::Interpreter(fields) => fields.executable,
        };
        let error = broken(&|heap, frame| {
            let text = heap.str("no code");
            let field = code_field(heap);
            heap.link(frame.offset(field), text);
        });
        assert!(matches!(error, Unreadable::Bad { what: "code object", .. }), "{error}");
        let error = broken(&|heap, frame| {
            let field = code_field(heap);
            heap.link(frame.offset(field), NOWHERE);
        });
        assert!(matches!(error, Unreadable::Fault(_)), "3.{minor}: {error}");
        let error = broken(&|heap, frame| match heap.layout.frame {
            Frame::Object(fields) => heap.link(frame.offset(fields.generator), NOWHERE),
            Frame::Interpreter(fields) => heap.byte(frame.offset(fields.owner), 5),
        });
        assert!(
            matches!(error, Unreadable::Bad { .. } | Unreadable::Fault(_)),
            "3.{minor}: {error}"
        );
        if minor >= 11 {
            let error = broken(&|heap, frame| {
                let Frame::Interpreter(fields) = heap.layout.frame else { panic!() };
                heap.word(frame.offset(fields.instruction), 0x1000);
            });
            assert!(matches!(error, Unreadable::Bad { what: "frame", .. }), "3.{minor}: {error}");
        }
    }
}

/// A thread with these frames, innermost first.
fn thread(heap: &mut Heap, frames: &[Address]) -> Address {
    let thread = heap.room(4096);
    let innermost = frames.first().copied().unwrap_or(Address::NULL);
    match heap.layout.thread.current_frame {
        CurrentFrame::Direct(field) => heap.link(thread.offset(field), innermost),
        CurrentFrame::CFrame { cframe, current_frame } => {
            let place = heap.room(64);
            heap.link(thread.offset(cframe), place);
            heap.link(place.offset(current_frame), innermost);
        }
    }
    for pair in frames.windows(2) {
        calls(heap, pair[1], pair[0]);
    }
    thread
}

fn calls(heap: &mut Heap, outer: Address, inner: Address) {
    let field = match heap.layout.frame {
        Frame::Object(fields) => fields.back,
        Frame::Interpreter(fields) => fields.previous,
    };
    heap.link(inner.offset(field), outer);
}

/// Frames of functions of these names.
fn functions(heap: &mut Heap, names: &[&str]) -> Vec<Address> {
    let frame = |name: &&str| {
        let code = heap.code(Function { name, ..Function::default() });
        let at = heap.room(512);
        heap.frame(at, code, 4, Values::default());
        at
    };
    names.iter().map(frame).collect()
}

fn names(reader: &Reader<'_>, frames: &[RawFrame]) -> Vec<String> {
    frames.iter().map(|it| reader.code(it.code).unwrap().place.function.to_string()).collect()
}

#[test]
fn the_frames_of_a_thread_come_outermost_first() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let mut frames = functions(&mut heap, &["inner", "middle", "outer"]);
        // From 3.12 on calls from C have frames of their own, without a function.
        if let Frame::Interpreter(fields) = heap.layout.frame
            && fields.last_owner >= fields.first_shim_owner
        {
            let shim = heap.room(512);
            heap.byte(shim.offset(fields.owner), fields.first_shim_owner);
            frames.insert(2, shim);
        }
        let thread = thread(&mut heap, &frames);
        heap.read(|reader| {
            let stack = reader.stack(thread);
            assert_eq!(names(reader, &stack.frames), ["outer", "middle", "inner"], "3.{minor}");
            assert!(stack.is_complete, "3.{minor}");
            let below = reader.stack_below(frames[1]);
            assert_eq!(names(reader, &below.frames), ["outer", "middle"], "3.{minor}");
        });
    }
}

#[test]
fn of_a_broken_stack_the_inner_part_is_told() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let frames = functions(&mut heap, &["inner", "outer"]);
        let thread = thread(&mut heap, &frames);
        calls(&mut heap, NOWHERE, frames[1]);
        heap.read(|reader| {
            let stack = reader.stack(thread);
            assert_eq!(names(reader, &stack.frames), ["outer", "inner"], "3.{minor}");
            assert!(!stack.is_complete, "3.{minor}");
        });
        // A ring of frames is no stack, and has an end.
        calls(&mut heap, frames[0], frames[1]);
        heap.read(|reader| {
            let stack = reader.stack_within(thread, 1);
            assert!(!stack.is_complete && stack.frames.len() <= 20_000, "3.{minor}");
        });
    }
}

#[test]
fn a_thread_without_frames_has_none() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let thread = thread(&mut heap, &[]);
        let stack = heap.read(|reader| reader.stack(thread));
        assert!(stack.is_complete && stack.frames.is_empty(), "3.{minor}: {stack:?}");
    }
}

/// From 3.14 on the low bits of a slot are no part of the address, and both together a number.
#[test]
fn tags_are_no_part_of_an_address() {
    for minor in MINORS {
        let heap = Heap::of(minor);
        heap.read(|reader| {
            let number = |word| (reader.slot_value(word), reader.small_number(word));
            if minor >= 14 {
                assert_eq!(reader.slot_value(0x10_0001), Some(Address(0x10_0000)));
                assert_eq!(number(7 << 2 | 3), (None, Some(7)));
                assert_eq!(reader.slot_value(1), None, "a tag alone is an empty slot");
            } else {
                assert_eq!(number(0x10_0001), (Some(Address(0x10_0001)), None), "3.{minor}");
            }
            assert_eq!(number(0), (None, None));
        });
    }
}

/// What a compiler has made of `async def swallows(x)` with a bare `except` around `await x` in a
/// loop, and of `async def cleans(x)` with a `finally` around it; both are in the await.
///
/// ```python
/// async def swallows(x):          async def cleans(x):      # line 9
///     while True:                     try:
///         try:                            await x
///             await x                 finally:
///         except:                         x.close()
///             pass
/// ```
struct Compiled {
    minor: u8,
    /// `f_lasti` in bytes.
    lasti: i64,
    stacksize: i32,
    /// The handler of the block that the frame is in, before 3.11.
    block: i32,
    code: &'static str,
    lines: &'static str,
    table: &'static str,
}

// By `compile` of each version: co_code, co_lnotab or co_linetable, co_exceptiontable.
#[rustfmt::skip]
const SWALLOWS: [Compiled; 8] = [
    Compiled { minor: 8, lasti: 6, stacksize: 6, block: 16, code: "7a0e7c00490064004800010057007100010001000100590071005800710064005300", lines: "000202010e010601", table: "" },
    Compiled { minor: 9, lasti: 6, stacksize: 6, block: 16, code: "7a0e7c00490064004800010057007100010001000100590071003000710064005300", lines: "000202010e010601", table: "" },
    Compiled { minor: 10, lasti: 10, stacksize: 6, block: 20, code: "810109007a077c00490064004800010057006e0401000100010059007102", lines: "0280020102010e010601020102fc", table: "" },
    Compiled { minor: 11, lasti: 18, stacksize: 4, block: 0, code: "4b0001009700090009007c00830064007b0356009703860401006e072300010059006e037803590077018c12", lines: "e800e8008000f002040511f002030911d8121388478847884788478847884788478847f8f002010911d80c108844f8f8f8f009040511", table: "85080e008e021203" },
    Compiled { minor: 12, lasti: 20, stacksize: 4, block: 0, code: "4b0001009700090009007c00830064007b030000960397038605050001008c0c37008c052300010059008c07780359007701ad037701", lines: "e800f88000d80a0ef002030911d812138f478847f005000b0fe00c13f9f002010911d90c10fc", table: "82021901850512008a0110048b0412008f011901900112009202160394051901" },
    Compiled { minor: 13, lasti: 22, stacksize: 4, block: 0, code: "2300200095001e001e0055004900530068030000760195034e050c0020004d0d000008004e06210020001f004e083d031f00660137036601", lines: "e9008000d80a0ef002030911d812138f478847f105000b0fe10c13f8f002010911d90c10fc", table: "82021a01850513008a0111048b0413008f021a01910113009302170395051a01" },
    Compiled { minor: 14, lasti: 22, stacksize: 4, block: 0, code: "22001f0080001b001b005600470052016a030000780180034c050a001f004b0e000007004c0620001f001d004b1500003b031d00690135036901", lines: "e9008000d80a0ef002030911d812138f478c47f8f002010911da0c10fc", table: "82021b01850513008a0111048b0413008f021b01910113009302180395061b01" },
    Compiled { minor: 15, lasti: 26, stacksize: 4, block: 0, code: "20001d008000000019001900550045001f005007690400007701800300004b060a001d004a10000007004b061e001d001b004a17000039031b00680133036801", lines: "e9008100d80a0ef002030911d812138f478e47f8f002010911da0c10fc", table: "82031e01860616008c0114068d05160092021e019401160096021b0398061e01" },
];
#[rustfmt::skip]
const CLEANS: [Compiled; 8] = [
    Compiled { minor: 8, lasti: 6, stacksize: 8, block: 16, code: "7a0e7c004900640048000100570035007c00a000a1000100580064005300", lines: "000102010e02", table: "" },
    Compiled { minor: 9, lasti: 6, stacksize: 8, block: 24, code: "7a167c00490064004800010057007c00a000a10001006e0a7c00a000a1000100300064005300", lines: "000102010c02", table: "" },
    Compiled { minor: 10, lasti: 8, stacksize: 8, block: 28, code: "81017a0c7c00490064004800010057007c00a000a1000100640053007c00a000a10001007700", lines: "028002010c011602", table: "" },
    Compiled { minor: 11, lasti: 16, stacksize: 4, block: 0, code: "4b000100970009007c00830064007b0356009703860401007c00a0000000000000000000000000000000000000000000a6000000ab00000000000000000001006400530023007c00a0000000000000000000000000000000000000000000a6000000ab00000000000000000001007700780359007701", lines: "e800e8008000f002030512d80e0f8807880788078807880788078807e008098f078a0789098c09880988098809f888018f078a0789098c0988098809f8f8f8", table: "84082200a2163803" },
    Compiled { minor: 12, lasti: 18, stacksize: 4, block: 0, code: "4b000100970009007c00830064007b030000960397038605050001007c006a01000000000000000000000000000000000000ab000000000000000100790037008c1523007c006a01000000000000000000000000000000000000ab0000000000000001007700780359007701ad037701", lines: "e800f88000f002030512d80e0f8f078807e008098f0789078d09f005000910f9e008098f0789078d09fc", table: "820136018405210089011f048a0421008e1136019f012100a1123303b3033601" },
    Compiled { minor: 13, lasti: 20, stacksize: 4, block: 0, code: "2300200095001e0055004900530068030000760195034e050c0020005500520100000000000000000000000000000000000035000000000000002000670008004e152100550052010000000000000000000000000000000000003500000000000000200066003d031f00660137036601", lines: "e9008000f002030512d80e0f8f078807e008098f0789078d09f105000910f8e008098f0789078d09fc", table: "820136018405210089011f048a0421008e1136019f012100a1123303b3033601" },
    Compiled { minor: 14, lasti: 20, stacksize: 4, block: 0, code: "22001f0080001b005600470052006a030000780180034c050a001f005600500100000000000000000000000000000000000034000000000000001f005200230007004c1620005400500100000000000000000000000000000000000034000000000000001f0069003b031d00690135036901", lines: "e9008000f002030512d80e0f8f078807e008098f0789078e09f105000910f8e008098f0789078d09fc", table: "8201370184052200890120048a0422008e123701a0012200a2123403b4033701" },
    Compiled { minor: 15, lasti: 24, stacksize: 4, block: 0, code: "20001d00800000001900550045001f005007690400007701800300004b060a001d0055004f0100000000000000000000000000000000000032000000000000001d005007210007004b161e0053004f0100000000000000000000000000000000000032000000000000001d00680039031b00680133036801", lines: "e9008100f002030512d80e0f8f078a07e008098f0789078e09f105000910f8e008098f0789078d09fc", table: "82023a01850625008b0123068c05250091123a01a3012500a5123703b7033a01" },
];

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The handlers around the await, and what a source says about them.
fn handlers(of: &Compiled, first_line: u32, source: Option<&str>) -> Vec<super::Handler> {
    let mut heap = Heap::of(of.minor);
    let future = heap.none();
    let [code, lines, table] = [of.code, of.lines, of.table].map(unhex);
    let code = heap.code(Function {
        code: &code,
        lines: &lines,
        table: &table,
        first_line,
        locals: &["x"],
        stacksize: of.stacksize,
        ..Function::default()
    });
    let values = Values { locals: &[future], stack: &[] };
    let at = heap.generator("coroutine", code, of.lasti, Stage::Awaiting(future), values);
    if let Frame::Object(fields) = heap.layout.frame {
        let frame = frame_of(&heap, at);
        heap.int32(frame.offset(fields.iblock), 1);
        // PyTryBlock: SETUP_FINALLY, its handler, no value on the stack below it.
        let units = i32::try_from(fields.lasti_unit).unwrap();
        for (place, value) in [(0, 122), (4, of.block / units), (8, 0)] {
            heap.int32(frame.offset(fields.blockstack + place), value);
        }
    }
    heap.read(|reader| {
        let read = reader.generator(at).unwrap();
        assert_eq!(read.progress, Progress::Awaiting(future), "3.{}", of.minor);
        let source = |_: &str| source.map(std::sync::Arc::from);
        reader.handlers(&read.frame.unwrap(), &source).unwrap()
    })
}

#[test]
fn a_bare_except_in_a_loop_swallows() {
    for of in &SWALLOWS {
        let found = handlers(of, 1, None);
        let [handler] = found[..] else { panic!("3.{}: {found:?}", of.minor) };
        let facts = (handler.kind, handler.line, handler.catches_cancel, handler.ending);
        assert_eq!(facts, (HandlerKind::Except, 5, true, Ending::GoesOn), "3.{}", of.minor);
        assert!(handler.may_eat());
    }
}

#[test]
fn a_finally_raises_again() {
    for of in &CLEANS {
        let found = handlers(of, 9, None);
        let [handler] = found[..] else { panic!("3.{}: {found:?}", of.minor) };
        // Without the source the line is that of its first statement.
        let facts = (handler.kind, handler.line, handler.catches_cancel, handler.ending);
        assert_eq!(facts, (HandlerKind::Finally, 13, true, Ending::Raises), "3.{}", of.minor);
        assert!(!handler.may_eat() && handler.reraises());
        let source = "\n".repeat(8)
            + "async def cleans(x):\n    try:\n        await x\n    finally:\n        x.close()\n";
        let found = handlers(of, 9, Some(&source));
        assert_eq!(found[0].line, 12, "3.{}: {found:?}", of.minor);
    }
}

/// An exception table that is cut, or whose rows are out of order, is not believed; that of another
/// place protects nothing here.
#[test]
fn a_table_is_believed_as_a_whole_or_not_at_all() {
    for of in SWALLOWS.iter().filter(|of| of.minor >= 11) {
        let around = |table: &str| {
            let mut heap = Heap::of(of.minor);
            let future = heap.none();
            let (code, table) = (unhex(of.code), unhex(table));
            let code = heap.code(Function {
                code: &code,
                table: &table,
                locals: &["x"],
                ..Function::default()
            });
            let values = Values { locals: &[future], stack: &[] };
            let stage = Stage::Awaiting(future);
            let at = heap.generator("coroutine", code, of.lasti, stage, values);
            heap.read(|reader| {
                let frame = reader.generator(at).unwrap().frame.unwrap();
                let around = reader.around(&frame, &*reader.code(frame.code)?)?;
                Ok::<_, Unreadable>(
                    around.iter().map(|it| (it.handler, it.depth)).collect::<Vec<_>>(),
                )
            })
        };
        let bad =
            |table| matches!(around(table), Err(Unreadable::Bad { what: "exception table", .. }));
        assert!(bad(&of.table[..of.table.len() - 2]), "3.{}", of.minor);
        // The second row begins within the first one.
        assert!(bad("80200800811f0800"), "3.{}", of.minor);
        // [ 0, 1 ) is protected, and 30 units from the 20th on by the handler at 8 with two values.
        assert_eq!(around("80010800941e0804"), Ok(Vec::new()), "3.{}", of.minor);
        // A handler that protects itself is met once, and ends.
        let ring = around("80200804").unwrap();
        assert_eq!(ring.first(), Some(&(16, 2)), "3.{}", of.minor);
        assert!(ring.len() <= 160, "{}", ring.len());
    }
}
