//! What a target tells about its own layout.
//!
//! From 3.13 on `_PyRuntime` begins with `_Py_DebugOffsets`, and from 3.14 on `_asyncio` has a
//! section `.AsyncioDebug`. What stands there is preferred to our tables, because fields move
//! even between patch releases (3.14.5 moved `imports.modules`), but it comes from the target and
//! is checked first: every offset has to lie inside the structure it belongs to.

use serde::Serialize;

use super::{
    Bytecode, CollectorState, CollectorStatistics, CurrentFrame, DictKeys, Frame, GeneratorFrame,
    Layout, LineTable, LocalNames, Offset, RunningLoop, StackPointer,
};

/// The first bytes of `_Py_DebugOffsets`.
pub const COOKIE: [u8; 8] = *b"xdebugpy";

/// How much of `_PyRuntime` is read to see the whole table of any version (3.15: 888 bytes).
pub const TABLE_LEN: u64 = 1024;

/// How many bytes `.AsyncioDebug` has.
pub const ASYNCIO_TABLE_LEN: usize = 8 * ASYNCIO_FIELDS.len();

/// What stands in `.AsyncioDebug`, a number of 8 bytes each (`Py_AsyncioModuleDebugOffsets`).
// 3.14, 3.15: Modules/_asynciomodule.c; DWARF, live.
pub const ASYNCIO_FIELDS: [&str; 13] = [
    "asyncio_task_object.size",
    "asyncio_task_object.task_name",
    "asyncio_task_object.task_awaited_by",
    "asyncio_task_object.task_is_task",
    "asyncio_task_object.task_awaited_by_is_set",
    "asyncio_task_object.task_coro",
    "asyncio_task_object.task_node",
    "asyncio_interpreter_state.size",
    "asyncio_interpreter_state.asyncio_tasks_head",
    "asyncio_thread_state.size",
    "asyncio_thread_state.asyncio_running_loop",
    "asyncio_thread_state.asyncio_running_task",
    "asyncio_thread_state.asyncio_tasks_head",
];

/// What the first three words of `_Py_DebugOffsets` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// `PY_VERSION_HEX`: 0x030e0af0 is 3.14.10 final.
    pub version: u32,
    /// Whether this is a free-threaded build.
    pub free_threaded: bool,
}

/// The head of a table, `None` when the bytes are none.
///
/// `[ cookie: 8 bytes, version: u64, free_threaded: u64, … ]`
pub fn head(table: &[u8]) -> Option<Head> {
    if table.get(..8)? != COOKIE {
        return None;
    }
    Some(Head {
        version: u32::try_from(number(table, 8)?).ok()?,
        free_threaded: number(table, 16)? != 0,
    })
}

fn number(table: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(table.get(at..at + 8)?.try_into().ok()?))
}

/// Where the fields that we take stand in `_Py_DebugOffsets`.
#[derive(Debug, Serialize)]
struct Fields {
    runtime_size: usize,
    interpreters_head: usize,
    finalizing: usize,
    interpreter_size: usize,
    interpreter_id: usize,
    interpreter_next: usize,
    threads_head: usize,
    modules: usize,
    gc: usize,
    thread_size: usize,
    thread_next: usize,
    thread_interp: usize,
    current_frame: usize,
    thread_id: usize,
    native_thread_id: usize,
    datastack_chunk: usize,
    frame_previous: usize,
    frame_executable: usize,
    frame_instr_ptr: usize,
    frame_localsplus: usize,
    frame_owner: usize,
    frame_stackpointer: Option<usize>,
    code_size: usize,
    code_filename: usize,
    code_name: usize,
    code_qualname: usize,
    code_linetable: usize,
    code_firstlineno: usize,
    code_localsplusnames: usize,
    code_localspluskinds: usize,
    code_bytecode: usize,
    ob_type: usize,
    tp_name: usize,
    tp_flags: usize,
    tuple_item: usize,
    list_item: usize,
    ma_keys: usize,
    ma_values: usize,
    str_state: usize,
    str_length: usize,
    str_ascii_size: usize,
    gi_iframe: Option<usize>,
    gi_frame_state: Option<usize>,
    gc_size: usize,
    gc_collecting: usize,
    gc_generation_stats: Option<usize>,
}

/// 3.13: 584 bytes; from the DWARF of 3.13.0 and read live on 3.13.0 and 3.13.15.
const FIELDS_313: Fields = Fields {
    runtime_size: 24,
    interpreters_head: 40,
    finalizing: 32,
    interpreter_size: 48,
    interpreter_id: 56,
    interpreter_next: 64,
    threads_head: 72,
    modules: 88,
    gc: 80,
    thread_size: 152,
    thread_next: 168,
    thread_interp: 176,
    current_frame: 184,
    thread_id: 192,
    native_thread_id: 200,
    datastack_chunk: 208,
    frame_previous: 232,
    frame_executable: 240,
    frame_instr_ptr: 248,
    frame_localsplus: 256,
    frame_owner: 264,
    frame_stackpointer: None,
    code_size: 272,
    code_filename: 280,
    code_name: 288,
    code_qualname: 296,
    code_linetable: 304,
    code_firstlineno: 312,
    code_localsplusnames: 328,
    code_localspluskinds: 336,
    code_bytecode: 344,
    ob_type: 360,
    tp_name: 376,
    tp_flags: 392,
    tuple_item: 408,
    list_item: 432,
    ma_keys: 456,
    ma_values: 464,
    str_state: 544,
    str_length: 552,
    str_ascii_size: 560,
    gi_iframe: None,
    gi_frame_state: None,
    gc_size: 568,
    gc_collecting: 576,
    gc_generation_stats: None,
};

/// 3.14: 760 bytes; from the DWARF of 3.14.10 and read live there.
const FIELDS_314: Fields = Fields {
    modules: 96,
    gc: 88,
    thread_size: 176,
    thread_next: 192,
    thread_interp: 200,
    current_frame: 208,
    thread_id: 216,
    native_thread_id: 224,
    datastack_chunk: 232,
    frame_previous: 256,
    frame_executable: 264,
    frame_instr_ptr: 272,
    frame_localsplus: 280,
    frame_owner: 288,
    frame_stackpointer: Some(296),
    code_size: 312,
    code_filename: 320,
    code_name: 328,
    code_qualname: 336,
    code_linetable: 344,
    code_firstlineno: 352,
    code_localsplusnames: 368,
    code_localspluskinds: 376,
    code_bytecode: 384,
    ob_type: 408,
    tp_name: 424,
    tp_flags: 440,
    tuple_item: 456,
    list_item: 480,
    ma_keys: 536,
    ma_values: 544,
    str_state: 624,
    str_length: 632,
    str_ascii_size: 640,
    gi_iframe: Some(680),
    gi_frame_state: Some(688),
    gc_size: 648,
    gc_collecting: 656,
    ..FIELDS_313
};

/// 3.15: 888 bytes; from the DWARF of 3.15.2 and read live there.
const FIELDS_315: Fields = Fields {
    thread_id: 240,
    native_thread_id: 248,
    datastack_chunk: 256,
    frame_previous: 320,
    frame_executable: 328,
    frame_instr_ptr: 336,
    frame_localsplus: 344,
    frame_owner: 352,
    frame_stackpointer: Some(360),
    code_size: 376,
    code_filename: 384,
    code_name: 392,
    code_qualname: 400,
    code_linetable: 408,
    code_firstlineno: 416,
    code_localsplusnames: 432,
    code_localspluskinds: 440,
    code_bytecode: 448,
    ob_type: 472,
    tp_name: 488,
    tp_flags: 504,
    tuple_item: 552,
    list_item: 576,
    ma_keys: 632,
    ma_values: 640,
    str_state: 720,
    str_length: 728,
    str_ascii_size: 736,
    gi_iframe: Some(808),
    gi_frame_state: Some(816),
    gc_size: 752,
    gc_collecting: 760,
    gc_generation_stats: Some(784),
    ..FIELDS_314
};

fn fields(minor: u8) -> Option<&'static Fields> {
    match minor {
        ..13 => None,
        13 => Some(&FIELDS_313),
        14 => Some(&FIELDS_314),
        15.. => Some(&FIELDS_315),
    }
}

/// Where the fields that we take stand in the `_Py_DebugOffsets` of 3.`minor`, by name.
pub fn positions(minor: u8) -> Option<impl Serialize> {
    fields(minor)
}

/// The largest structure that is believable: `_PyRuntimeState` has some 350 KiB.
const MAX_STRUCT: u64 = 16 << 20;

/// Takes what `table` says into `layout`.
///
/// # Errors
/// The name of the first field that is not believable; `layout` is then not to be used.
#[expect(clippy::too_many_lines, reason = "a list, one field after the other")]
pub fn apply(layout: &mut Layout, table: &[u8]) -> Result<(), &'static str> {
    let Some(fields) = fields(layout.minor) else { return Ok(()) };
    let size = |at: usize, name: &'static str| {
        number(table, at).filter(|size| (16..MAX_STRUCT).contains(size)).ok_or(name)
    };
    // An offset must leave room for a pointer; fields of one byte are followed by others.
    let take = |target: &mut Offset, at: usize, size: u64, name: &'static str| {
        let offset = number(table, at).filter(|offset| *offset < size).ok_or(name)?;
        *target = offset;
        Ok::<(), &'static str>(())
    };

    let runtime = size(fields.runtime_size, "runtime_state.size")?;
    layout.runtime.size = runtime;
    take(
        &mut layout.runtime.interpreters_head,
        fields.interpreters_head,
        runtime,
        "runtime_state.interpreters_head",
    )?;
    // `interpreters.main` is not in the table, but stands right behind `interpreters.head`.
    layout.runtime.interpreters_main = layout.runtime.interpreters_head + 8;
    take(&mut layout.runtime.finalizing, fields.finalizing, runtime, "runtime_state.finalizing")?;

    let interpreter = size(fields.interpreter_size, "interpreter_state.size")?;
    let state = &mut layout.interpreter;
    take(&mut state.id, fields.interpreter_id, interpreter, "interpreter_state.id")?;
    take(&mut state.next, fields.interpreter_next, interpreter, "interpreter_state.next")?;
    take(
        &mut state.threads_head,
        fields.threads_head,
        interpreter,
        "interpreter_state.threads_head",
    )?;
    take(&mut state.modules, fields.modules, interpreter, "interpreter_state.imports_modules")?;
    if let CollectorState::Interpreter(gc) = &mut layout.collector.state {
        take(gc, fields.gc, interpreter, "interpreter_state.gc")?;
    }
    let collector = size(fields.gc_size, "gc.size")?;
    take(&mut layout.collector.collecting, fields.gc_collecting, collector, "gc.collecting")?;
    if let (CollectorStatistics::Rings(stats), Some(at)) =
        (&mut layout.collector.statistics, fields.gc_generation_stats)
    {
        take(stats, at, collector, "gc.generation_stats")?;
    }

    let thread = size(fields.thread_size, "thread_state.size")?;
    let state = &mut layout.thread;
    take(&mut state.next, fields.thread_next, thread, "thread_state.next")?;
    take(&mut state.interp, fields.thread_interp, thread, "thread_state.interp")?;
    take(&mut state.thread_id, fields.thread_id, thread, "thread_state.thread_id")?;
    if let CurrentFrame::Direct(current) = &mut state.current_frame {
        take(current, fields.current_frame, thread, "thread_state.current_frame")?;
    }
    if let Some(native) = &mut state.native_thread_id {
        take(native, fields.native_thread_id, thread, "thread_state.native_thread_id")?;
    }
    if let Some(chunk) = &mut state.datastack_chunk {
        take(chunk, fields.datastack_chunk, thread, "thread_state.datastack_chunk")?;
    }
    if layout.minor == 13 {
        // 3.13: `asyncio_running_loop` is the first field behind `PyThreadState` in
        // `_PyThreadStateImpl`: 304 on 3.13.0, 312 on 3.13.15, both equal to this size.
        state.running_loop = RunningLoop::Field(thread);
    }

    if let Frame::Interpreter(frame) = &mut layout.frame {
        let size = 1 << 10;
        take(&mut frame.previous, fields.frame_previous, size, "interpreter_frame.previous")?;
        take(&mut frame.executable, fields.frame_executable, size, "interpreter_frame.executable")?;
        take(&mut frame.instruction, fields.frame_instr_ptr, size, "interpreter_frame.instr_ptr")?;
        take(&mut frame.localsplus, fields.frame_localsplus, size, "interpreter_frame.localsplus")?;
        take(&mut frame.owner, fields.frame_owner, size, "interpreter_frame.owner")?;
        if let (StackPointer::Pointer(pointer), Some(at)) =
            (&mut frame.stack, fields.frame_stackpointer)
        {
            take(pointer, at, size, "interpreter_frame.stackpointer")?;
        }
    }

    let code = size(fields.code_size, "code_object.size")?;
    layout.code.size = code;
    take(&mut layout.code.filename, fields.code_filename, code, "code_object.filename")?;
    take(&mut layout.code.name, fields.code_name, code, "code_object.name")?;
    take(&mut layout.code.firstlineno, fields.code_firstlineno, code, "code_object.firstlineno")?;
    if let Some(qualname) = &mut layout.code.qualname {
        take(qualname, fields.code_qualname, code, "code_object.qualname")?;
    }
    if let LineTable::Locations(table) = &mut layout.code.line_table {
        take(table, fields.code_linetable, code, "code_object.linetable")?;
    }
    if let Bytecode::Inline(bytecode) = &mut layout.code.bytecode {
        take(bytecode, fields.code_bytecode, code + 1, "code_object.co_code_adaptive")?;
    }
    if let LocalNames::Localsplus { names, kinds, .. } = &mut layout.code.names {
        take(names, fields.code_localsplusnames, code, "code_object.localsplusnames")?;
        take(kinds, fields.code_localspluskinds, code, "code_object.localspluskinds")?;
    }

    let size = 1 << 10;
    take(&mut layout.object.ob_type, fields.ob_type, size, "pyobject.ob_type")?;
    take(&mut layout.class.name, fields.tp_name, size, "type_object.tp_name")?;
    take(&mut layout.class.flags, fields.tp_flags, size, "type_object.tp_flags")?;
    take(&mut layout.small.tuple_items, fields.tuple_item, size, "tuple_object.ob_item")?;
    take(&mut layout.small.list_items, fields.list_item, size, "list_object.ob_item")?;
    take(&mut layout.dict.keys, fields.ma_keys, size, "dict_object.ma_keys")?;
    take(&mut layout.dict.values, fields.ma_values, size, "dict_object.ma_values")?;
    take(&mut layout.unicode.state, fields.str_state, size, "unicode_object.state")?;
    take(&mut layout.unicode.length, fields.str_length, size, "unicode_object.length")?;
    take(
        &mut layout.unicode.ascii_data,
        fields.str_ascii_size,
        size,
        "unicode_object.asciiobject_size",
    )?;
    if let GeneratorFrame::Embedded { frame, state, .. } = &mut layout.generator.frame {
        if let Some(at) = fields.gi_iframe {
            take(frame, at, size, "gen_object.gi_iframe")?;
        }
        if let Some(at) = fields.gi_frame_state {
            take(state, at, size, "gen_object.gi_frame_state")?;
        }
    }
    debug_assert!(matches!(layout.dict.keys_layout, DictKeys::Log2 { .. }));
    Ok(())
}

/// Takes what `.AsyncioDebug` says into `layout`.
///
/// # Errors
/// The name of the first field that is not believable; `layout` is then as it was.
pub fn apply_asyncio(layout: &mut Layout, table: &[u8]) -> Result<(), &'static str> {
    let word = |name: &'static str| {
        let at = ASYNCIO_FIELDS.iter().position(|field| *field == name);
        at.and_then(|at| number(table, 8 * at)).ok_or(name)
    };
    // The section has neither cookie nor version: the size of a task has to be the known one,
    // else the other fields of a task, which are not in the table, cannot be known either.
    let task = layout.task.size;
    if word("asyncio_task_object.size")? != task {
        return Err("asyncio_task_object.size");
    }
    let size =
        |name| word(name).and_then(|size| if size < MAX_STRUCT { Ok(size) } else { Err(name) });
    let field = |name, size: u64| {
        let offset = word(name)?;
        let is_pointer = offset % 8 == 0 && offset < size && offset + 8 <= size;
        if is_pointer { Ok(offset) } else { Err(name) }
    };
    let name = field("asyncio_task_object.task_name", task)?;
    let awaited_by = field("asyncio_task_object.task_awaited_by", task)?;
    let is_set = word("asyncio_task_object.task_awaited_by_is_set")?;
    if is_set >= task {
        return Err("asyncio_task_object.task_awaited_by_is_set");
    }
    let coro = field("asyncio_task_object.task_coro", task)?;
    let node = field("asyncio_task_object.task_node", task)?;
    let interpreter = size("asyncio_interpreter_state.size")?;
    let interpreter_tasks = field("asyncio_interpreter_state.asyncio_tasks_head", interpreter)?;
    let thread = size("asyncio_thread_state.size")?;
    let running_loop = field("asyncio_thread_state.asyncio_running_loop", thread)?;
    let running_task = field("asyncio_thread_state.asyncio_running_task", thread)?;
    let thread_tasks = field("asyncio_thread_state.asyncio_tasks_head", thread)?;

    layout.task.name = name;
    layout.task.coro = coro;
    layout.task.node = Some(node);
    layout.future.awaited_by = Some(super::AwaitedBy { awaited_by, is_set });
    layout.interpreter.asyncio_tasks_head = Some(interpreter_tasks);
    layout.thread.running_loop = RunningLoop::Field(running_loop);
    layout.thread.asyncio_running_task = Some(running_task);
    layout.thread.asyncio_tasks_head = Some(thread_tasks);
    Ok(())
}
