//! CPython 3.11, regular x86-64 Linux builds.
//!
//! Each row names the C field and how it was checked on 3.11.7: `DWARF` of the build; `live`:
//! read from outside and held against what the process said of itself; `ctypes`: read from inside.
//! `scripts/check-layouts` checks the rows again.

use super::{
    Attributes, Awaitable, Awaiting, Bytecode, Class, Code, Collector, CollectorState,
    CollectorStatistics, CurrentFrame, Deque, Dict, DictKeys, Flag, Frame, FrameStates, Function,
    Future, Generator, GeneratorFrame, Handler, Int, IntSize, Interpreter, InterpreterFrame,
    Iterators, Layout, LineTable, LoadLocal, LocalNames, Object, RangeIterator, RunningLoop,
    Runtime, Set, SimpleQueue, Small, StackPointer, Task, TaskRegistry, Thread, Traceback, Unicode,
};

/// Where everything lies in CPython 3.11.
pub const LAYOUT: Layout = Layout {
    minor: 11,
    // Include/internal/pycore_runtime.h
    runtime: Runtime {
        interpreters_head: 40, // _PyRuntimeState.interpreters.head: DWARF, live
        interpreters_main: 48, // _PyRuntimeState.interpreters.main: DWARF
        finalizing: 24,        // _PyRuntimeState._finalizing: DWARF, live
        size: 166_688,         // sizeof _PyRuntimeState: DWARF, live
    },
    // Include/internal/pycore_interp.h
    interpreter: Interpreter {
        next: 0,          // PyInterpreterState.next: DWARF, live
        id: 48,           // PyInterpreterState.id: DWARF
        threads_head: 16, // PyInterpreterState.threads.head: DWARF, live
        modules: 888,     // PyInterpreterState.modules: DWARF, live
        asyncio_tasks_head: None,
    },
    // Include/cpython/pystate.h
    thread: Thread {
        next: 8,    // PyThreadState.next: DWARF, live
        interp: 16, // PyThreadState.interp: DWARF
        // PyThreadState.cframe: DWARF, live; _PyCFrame.current_frame: DWARF, live
        current_frame: CurrentFrame::CFrame { cframe: 56, current_frame: 8 },
        thread_id: 152,              // PyThreadState.thread_id: DWARF, live
        native_thread_id: Some(160), // PyThreadState.native_thread_id: DWARF, live
        exc_info: 120,               // PyThreadState.exc_info: DWARF
        context: 224,                // PyThreadState.context: DWARF, live
        datastack_chunk: Some(296),  // PyThreadState.datastack_chunk: DWARF
        // PyThreadState.dict: DWARF, live; PyRunningLoopHolder.rl_loop: DWARF, live;
        // PyRunningLoopHolder.rl_pid: DWARF, live
        running_loop: RunningLoop::DictHolder { dict: 128, running_loop: 16, pid: 24 },
        asyncio_running_task: None,
        asyncio_tasks_head: None,
    },
    // Include/internal/pycore_frame.h
    frame: Frame::Interpreter(InterpreterFrame {
        executable: 32,                 // _PyInterpreterFrame.f_code: DWARF, live
        previous: 48,                   // _PyInterpreterFrame.previous: DWARF, live
        instruction: 56,                // _PyInterpreterFrame.prev_instr: DWARF, live
        function: 0,                    // _PyInterpreterFrame.f_func: DWARF
        globals: 8,                     // _PyInterpreterFrame.f_globals: DWARF, live
        stack: StackPointer::Count(64), // _PyInterpreterFrame.stacktop: DWARF, live
        owner: 69,                      // _PyInterpreterFrame.owner: DWARF, live
        localsplus: 72,                 // _PyInterpreterFrame.localsplus: DWARF, live
        // enum _frameowner: 0 thread, 1 generator, 2 frame object; live
        first_shim_owner: 3,
        last_owner: 2,
        tag_mask: 0,
    }),
    // Include/cpython/code.h
    code: Code {
        firstlineno: 72,                       // PyCodeObject.co_firstlineno: DWARF, live
        flags: 48,                             // PyCodeObject.co_flags: DWARF
        filename: 112,                         // PyCodeObject.co_filename: DWARF, live
        name: 120,                             // PyCodeObject.co_name: DWARF, live
        qualname: Some(128),                   // PyCodeObject.co_qualname: DWARF
        line_table: LineTable::Locations(136), // PyCodeObject.co_linetable: DWARF, live
        bytecode: Bytecode::Inline(184),       // PyCodeObject.co_code_adaptive: DWARF, live
        stacksize: 68,                         // PyCodeObject.co_stacksize: DWARF
        // co_localsplusnames, co_localspluskinds, co_nlocalsplus: DWARF, live
        names: LocalNames::Localsplus { names: 96, kinds: 104, count: 76 },
        exception_table: Some(40), // PyCodeObject.co_exceptiontable: DWARF, live
        global_names: 32,          // PyCodeObject.co_names: DWARF, live
        size: 192,
    },
    // Include/genobject.h
    generator: Generator {
        // gi_iframe, gi_frame_state: DWARF, live; values: enum _framestate, live
        frame: GeneratorFrame::Embedded {
            frame: 80,
            state: 75,
            states: FrameStates { created: -2, suspended: -1, awaiting: None, executing: 0 },
        },
        qualname: 40,  // PyGenObject.gi_qualname: DWARF, live
        exc_value: 48, // PyGenObject.gi_exc_state.exc_value: DWARF, live
        size: 152,
    },
    awaiting: Awaiting::NextResume { resume: [151, 150] }, // Include/opcode.h: RESUME, RESUME_QUICK; live
    // Modules/_asynciomodule.c, Objects/genobject.c, Objects/iterobject.c
    awaitable: Awaitable {
        future_iter: 16,       // futureiterobject.future: DWARF, live
        coroutine_wrapper: 16, // PyCoroWrapper.cw_coroutine: DWARF
        asend: 16,             // PyAsyncGenASend.ags_gen: DWARF
        athrow: 16,            // PyAsyncGenAThrow.agt_gen: DWARF
        anext: 16,             // anextawaitableobject.wrapped: DWARF
    },
    // opcode.h: WITH_EXCEPT_START, GET_AWAITABLE, END_ASYNC_FOR, LOAD_SPECIAL from 3.14 on; live
    handler: Handler {
        with_except_start: 49,
        get_awaitable: 131,
        end_async_for: 54,
        exit_slots: 1,
    },
    opcodes: super::opcodes::CP311,
    // Include/object.h
    object: Object { ob_type: 8, ob_size: 16 }, // DWARF, live
    // Include/cpython/object.h
    class: Class {
        name: 24,         // PyTypeObject.tp_name: DWARF, live
        basicsize: 32,    // PyTypeObject.tp_basicsize: DWARF, live
        itemsize: 40,     // PyTypeObject.tp_itemsize: DWARF, live
        flags: 168,       // PyTypeObject.tp_flags: DWARF, live
        base: 256,        // PyTypeObject.tp_base: DWARF, live
        dict: 264,        // PyTypeObject.tp_dict: DWARF, live
        dictoffset: 288,  // PyTypeObject.tp_dictoffset: DWARF, live
        mro: 344,         // PyTypeObject.tp_mro: DWARF
        subclasses: 360,  // PyTypeObject.tp_subclasses: DWARF, live
        qualname: 864,    // PyHeapTypeObject.ht_qualname: DWARF
        cached_keys: 872, // PyHeapTypeObject.ht_cached_keys: DWARF, live
    },
    // Include/cpython/unicodeobject.h
    unicode: Unicode {
        length: 16,     // PyASCIIObject.length: DWARF, live
        state: 32,      // PyASCIIObject.state: DWARF, live
        ascii_data: 48, // sizeof(PyASCIIObject): DWARF, live
        data: 72,       // sizeof(PyCompactUnicodeObject): DWARF, live
    },
    // Include/longintrepr.h
    int: Int { size: IntSize::Signed(16), digits: 24 }, // ob_size, ob_digit: DWARF, live
    // Include/cpython/dictobject.h, Include/internal/pycore_dict.h
    dict: Dict {
        used: 16,   // PyDictObject.ma_used: DWARF
        keys: 32,   // PyDictObject.ma_keys: DWARF, live
        values: 40, // PyDictObject.ma_values: DWARF, live
        // dk_log2_index_bytes, dk_kind, dk_nentries, dk_indices: DWARF, live
        keys_layout: DictKeys::Log2 { log2_index_bytes: 9, kind: 10, nentries: 24, indices: 32 },
        first_value: 0, // PyDictValues.values: DWARF, live
    },
    attributes: Attributes::Managed311 { values_before: 32, dict_before: 24 }, // Objects/object.c, _PyObject_ValuesPointer, _PyObject_ManagedDictPointer; live
    // Include/setobject.h
    set: Set {
        used: 24,  // PySetObject.used: DWARF
        mask: 32,  // PySetObject.mask: DWARF, live
        table: 40, // PySetObject.table: DWARF, live
    },
    // Objects/listobject.c, rangeobject.c, dictobject.c, setobject.c, enumobject.c and bltinmodule.c
    iterators: Iterators {
        index: 16, // _PyListIterObject.it_index, as in that of a tuple: DWARF, live
        items: 24, // _PyListIterObject.it_seq: DWARF, live
        // rangeiterobject.index, len: DWARF, live
        range: RangeIterator::Index { index: 16, len: 40 },
        dict_used: 24,  // dictiterobject.di_used: DWARF, live
        dict_left: 48,  // dictiterobject.len: DWARF, live
        set_used: 24,   // setiterobject.si_used: DWARF, live
        set_left: 40,   // setiterobject.len: DWARF, live
        enumerated: 24, // enumobject.en_sit: DWARF, live
        zipped: 24,     // zipobject.ittuple: DWARF, live
        slots: 1,       // GET_ITER in Python/ceval.c; live
    },
    // each in its own header; the field is named behind the row
    small: Small {
        float_value: 16,         // PyFloatObject.ob_fval: DWARF, live
        bytes_data: 32,          // PyBytesObject.ob_sval: DWARF, live
        tuple_items: 24,         // PyTupleObject.ob_item: DWARF, live
        list_items: 24,          // PyListObject.ob_item: DWARF, live
        weakref_object: 16,      // PyWeakReference.wr_object: DWARF, live
        method_func: 16,         // PyMethodObject.im_func: DWARF, live
        method_self: 24,         // PyMethodObject.im_self: DWARF, live
        builtin_ml: 16,          // PyCFunctionObject.m_ml: DWARF, live
        builtin_self: 24,        // PyCFunctionObject.m_self: DWARF, live
        cell_ref: 16,            // PyCellObject.ob_ref: DWARF, live
        partial_fn: 16,          // partialobject.fn: DWARF, live
        partial_args: 24,        // partialobject.args: DWARF, live
        module_dict: 16,         // PyModuleObject.md_dict: DWARF, live
        module_state: 32,        // PyModuleObject.md_state: DWARF
        member: 40,              // PyMemberDescrObject.d_member: DWARF, live
        exception_args: 24,      // PyBaseExceptionObject.args: DWARF
        exception_traceback: 40, // PyBaseExceptionObject.traceback: DWARF
        step_wrapper_task: 16,   // TaskStepMethWrapper.sw_task: DWARF, live
    },
    // Modules/_collectionsmodule.c
    deque: Deque {
        leftblock: 24,    // dequeobject.leftblock: DWARF, live
        leftindex: 40,    // dequeobject.leftindex: DWARF, live
        block_data: 8,    // block.data: DWARF, live
        block_right: 520, // block.rightlink: DWARF, live
    },
    // Modules/_queuemodule.c
    simple_queue: SimpleQueue::List {
        items: 32, // simplequeueobject.lst: DWARF, live
        first: 40, // simplequeueobject.lst_pos: DWARF, live
    },
    // Include/cpython/traceback.h, Include/internal/pycore_frame.h
    traceback: Traceback {
        next: 16,                    // PyTracebackObject.tb_next: DWARF
        frame: 24,                   // PyTracebackObject.tb_frame: DWARF
        lasti: 32,                   // PyTracebackObject.tb_lasti: DWARF
        interpreter_frame: Some(24), // PyFrameObject.f_frame: DWARF
    },
    // opcode.h: LOAD_FAST and what it is quickened to
    load_local: LoadLocal { one: &[45, 46, 124], both: &[], second: &[], hidden: &[] },
    // Include/funcobject.h
    function: Function {
        code: 48,     // PyFunctionObject.func_code: DWARF, live
        closure: 72,  // PyFunctionObject.func_closure: DWARF, live
        defaults: 56, // PyFunctionObject.func_defaults: DWARF
        qualname: 40, // PyFunctionObject.func_qualname: DWARF, live
        globals: 16,  // PyFunctionObject.func_globals: DWARF, live
    },
    // Modules/_asynciomodule.c
    future: Future {
        running_loop: 16,      // FutureObj.fut_loop: DWARF
        callback0: 24,         // FutureObj.fut_callback0: DWARF, live
        callbacks: 40,         // FutureObj.fut_callbacks: DWARF, live
        exception: 48,         // FutureObj.fut_exception: DWARF, ctypes
        cancel_msg: Some(80),  // FutureObj.fut_cancel_msg: DWARF
        state: 88,             // FutureObj.fut_state: DWARF, ctypes
        log_tb: Flag::Int(92), // FutureObj.fut_log_tb: DWARF
        awaited_by: None,
    },
    // Modules/_asynciomodule.c
    task: Task {
        fut_waiter: 128,                  // TaskObj.task_fut_waiter: DWARF, live
        coro: 136,                        // TaskObj.task_coro: DWARF, live
        name: 144,                        // TaskObj.task_name: DWARF, live
        context: 152,                     // TaskObj.task_context: DWARF, live
        must_cancel: Flag::Int(160),      // TaskObj.task_must_cancel: DWARF, ctypes
        num_cancels_requested: Some(168), // TaskObj.task_num_cancels_requested: DWARF, live
        node: None,
        size: 176, // sizeof(TaskObj): DWARF
    },
    registry: TaskRegistry::AllTasks, // Lib/asyncio/tasks.py; live
    context: super::CONTEXT,
    // Include/internal/pycore_gc.h: struct _gc_runtime_state
    collector: Collector {
        state: CollectorState::Interpreter(648), // PyInterpreterState.gc: DWARF, live
        collecting: 200,                         // collecting: DWARF, live
        generations: 24,                         // generations: DWARF, live
        long_lived: 224,                         // long_lived_total: DWARF, live
        statistics: CollectorStatistics::Counts(128), // generation_stats: DWARF, live
    },
};
