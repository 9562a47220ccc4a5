//! CPython 3.8, regular x86-64 Linux builds.
//!
//! Each row names the C field and how it was checked on 3.8.18: `DWARF` of the build; `live`:
//! read from outside and held against what the process said of itself; `ctypes`: read from inside.
//! `scripts/check-layouts` checks the rows again.

use super::{
    Attributes, Awaitable, Awaiting, Bytecode, Class, Code, Collector, CollectorState,
    CollectorStatistics, CurrentFrame, Deque, Dict, DictKeys, Flag, Frame, Function, Future,
    Generator, GeneratorFrame, GeneratorRunning, Handler, Int, IntSize, Interpreter, Iterators,
    Layout, LineTable, LoadLocal, LocalNames, Object, ObjectFrame, RangeIterator, RunningLoop,
    Runtime, Set, SimpleQueue, Small, StackDepth, Task, TaskRegistry, Thread, Traceback, Unicode,
};

/// Where everything lies in CPython 3.8.
pub const LAYOUT: Layout = Layout {
    minor: 8,
    // Include/internal/pycore_runtime.h
    runtime: Runtime {
        interpreters_head: 32, // _PyRuntimeState.interpreters.head: DWARF, live
        interpreters_main: 40, // _PyRuntimeState.interpreters.main: DWARF
        finalizing: 16,        // _PyRuntimeState.finalizing: DWARF, live
        size: 1464,            // sizeof _PyRuntimeState: DWARF, live
    },
    // Include/internal/pycore_interp.h
    interpreter: Interpreter {
        next: 0,         // PyInterpreterState.next: DWARF, live
        id: 16,          // PyInterpreterState.id: DWARF
        threads_head: 8, // PyInterpreterState.tstate_head: DWARF, live
        modules: 56,     // PyInterpreterState.modules: DWARF, live
        asyncio_tasks_head: None,
    },
    // Include/cpython/pystate.h
    thread: Thread {
        next: 8,                                 // PyThreadState.next: DWARF, live
        interp: 16,                              // PyThreadState.interp: DWARF
        current_frame: CurrentFrame::Direct(24), // PyThreadState.frame: DWARF, live
        thread_id: 176,                          // PyThreadState.thread_id: DWARF, live
        native_thread_id: None,
        exc_info: 144, // PyThreadState.exc_info: DWARF
        context: 240,  // PyThreadState.context: DWARF, live
        datastack_chunk: None,
        // PyThreadState.dict: DWARF, live; PyRunningLoopHolder.rl_loop: DWARF, live;
        // PyRunningLoopHolder.rl_pid: DWARF, live
        running_loop: RunningLoop::DictHolder { dict: 152, running_loop: 16, pid: 24 },
        asyncio_running_task: None,
        asyncio_tasks_head: None,
    },
    // Include/cpython/frameobject.h
    frame: Frame::Object(ObjectFrame {
        back: 24,                   // PyFrameObject.f_back: DWARF, live
        code: 32,                   // PyFrameObject.f_code: DWARF, live
        valuestack: 64,             // PyFrameObject.f_valuestack: DWARF, live
        depth: StackDepth::Top(72), // PyFrameObject.f_stacktop: DWARF, live
        generator: 96,              // PyFrameObject.f_gen: DWARF, live
        lasti: 104,                 // PyFrameObject.f_lasti: DWARF, live
        lasti_unit: 1,              // Python/ceval.c: f_lasti counts bytes
        globals: 48,                // PyFrameObject.f_globals: DWARF, live
        iblock: 112,                // PyFrameObject.f_iblock: DWARF, live
        blockstack: 120,            // PyFrameObject.f_blockstack: DWARF, live
        localsplus: 360,            // PyFrameObject.f_localsplus: DWARF, live
    }),
    // Include/cpython/code.h
    code: Code {
        firstlineno: 40, // PyCodeObject.co_firstlineno: DWARF, live
        flags: 36,       // PyCodeObject.co_flags: DWARF
        filename: 104,   // PyCodeObject.co_filename: DWARF, live
        name: 112,       // PyCodeObject.co_name: DWARF, live
        qualname: None,
        line_table: LineTable::Lnotab(120), // PyCodeObject.co_lnotab: DWARF, live
        bytecode: Bytecode::Bytes(48),      // PyCodeObject.co_code: DWARF, live
        stacksize: 32,                      // PyCodeObject.co_stacksize: DWARF
        // co_varnames, co_cellvars, co_freevars: DWARF, live
        names: LocalNames::Tuples { varnames: 72, cellvars: 88, freevars: 80 },
        exception_table: None,
        global_names: 64, // PyCodeObject.co_names: DWARF, live
        size: 176,
    },
    // Include/genobject.h
    generator: Generator {
        // gi_frame, gi_running: DWARF, live
        frame: GeneratorFrame::Pointer { frame: 16, running: GeneratorRunning::Generator(24) },
        qualname: 56,  // PyGenObject.gi_qualname: DWARF, live
        exc_value: 72, // PyGenObject.gi_exc_state.exc_value: DWARF, live
        size: 96,
    },
    awaiting: Awaiting::NextOpcode { yield_from: 72 }, // Include/opcode.h: YIELD_FROM; live
    // Modules/_asynciomodule.c, Objects/genobject.c, Objects/iterobject.c
    awaitable: Awaitable {
        future_iter: 16,       // futureiterobject.future: DWARF, live
        coroutine_wrapper: 16, // PyCoroWrapper.cw_coroutine: DWARF
        asend: 16,             // PyAsyncGenASend.ags_gen: DWARF
        athrow: 16,            // PyAsyncGenAThrow.agt_gen: DWARF
        anext: 16,             // no such object before 3.10
    },
    // opcode.h: WITH_CLEANUP_START, GET_AWAITABLE, END_ASYNC_FOR, LOAD_SPECIAL from 3.14 on; live
    handler: Handler { with_except_start: 81, get_awaitable: 73, end_async_for: 54, exit_slots: 1 },
    opcodes: super::opcodes::CP38,
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
        cached_keys: 872, // PyHeapTypeObject.ht_cached_keys: DWARF
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
    // Include/cpython/dictobject.h, Objects/dict-common.h
    dict: Dict {
        used: 16,   // PyDictObject.ma_used: DWARF
        keys: 32,   // PyDictObject.ma_keys: DWARF, live
        values: 40, // PyDictObject.ma_values: DWARF, live
        // dk_size, dk_nentries, dk_indices: DWARF, live
        keys_layout: DictKeys::Sized { size: 8, nentries: 32, indices: 40 },
        first_value: 0, // ma_values is the array itself
    },
    attributes: Attributes::DictOffset, // Objects/object.c, _PyObject_GetDictPtr; live
    // Include/setobject.h
    set: Set {
        used: 24,  // PySetObject.used: DWARF
        mask: 32,  // PySetObject.mask: DWARF, live
        table: 40, // PySetObject.table: DWARF, live
    },
    // Objects/listobject.c, rangeobject.c, dictobject.c, setobject.c, enumobject.c and bltinmodule.c
    iterators: Iterators {
        index: 16, // listiterobject.it_index, as in that of a tuple: DWARF, live
        items: 24, // listiterobject.it_seq: DWARF, live
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
        exception_traceback: 32, // PyBaseExceptionObject.traceback: DWARF
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
    // Include/cpython/traceback.h
    traceback: Traceback {
        next: 16,  // PyTracebackObject.tb_next: DWARF
        frame: 24, // PyTracebackObject.tb_frame: DWARF
        lasti: 32, // PyTracebackObject.tb_lasti: DWARF
        interpreter_frame: None,
    },
    // opcode.h: LOAD_FAST
    load_local: LoadLocal { one: &[124], both: &[], second: &[], hidden: &[] },
    // Include/funcobject.h
    function: Function {
        code: 16,      // PyFunctionObject.func_code: DWARF, live
        closure: 48,   // PyFunctionObject.func_closure: DWARF, live
        defaults: 32, // PyFunctionObject.func_defaults: DWARF
        qualname: 104, // PyFunctionObject.func_qualname: DWARF, live
        globals: 24,   // PyFunctionObject.func_globals: DWARF, live
    },
    // Modules/_asynciomodule.c
    future: Future {
        running_loop: 16, // FutureObj.fut_loop: DWARF
        callback0: 24,    // FutureObj.fut_callback0: DWARF, live
        callbacks: 40,    // FutureObj.fut_callbacks: DWARF, live
        exception: 48,    // FutureObj.fut_exception: DWARF, ctypes
        cancel_msg: None,
        state: 72,             // FutureObj.fut_state: DWARF, ctypes
        log_tb: Flag::Int(76), // FutureObj.fut_log_tb: DWARF
        awaited_by: None,
    },
    // Modules/_asynciomodule.c
    task: Task {
        fut_waiter: 104,             // TaskObj.task_fut_waiter: DWARF, live
        coro: 112,                   // TaskObj.task_coro: DWARF, live
        name: 120,                   // TaskObj.task_name: DWARF, live
        context: 128,                // TaskObj.task_context: DWARF, live
        must_cancel: Flag::Int(136), // TaskObj.task_must_cancel: DWARF, ctypes
        num_cancels_requested: None,
        node: None,
        size: 144, // sizeof(TaskObj): DWARF
    },
    registry: TaskRegistry::AllTasks, // Lib/asyncio/tasks.py; live
    context: super::CONTEXT,
    // Include/internal/pycore_runtime.h, pycore_pymem.h: struct _gc_runtime_state
    collector: Collector {
        state: CollectorState::Runtime(344), // _PyRuntimeState.gc: DWARF, live
        collecting: 200,                     // collecting: DWARF, live
        generations: 24,                     // generations: DWARF, live
        long_lived: 224,                     // long_lived_total: DWARF, live
        statistics: CollectorStatistics::Counts(128), // generation_stats: DWARF, live
    },
};
