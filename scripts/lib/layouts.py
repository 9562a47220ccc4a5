"""What each row of our layout tables is, and who tells the truth about it.

A row is held against DWARF, or against what the interpreter says of itself.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from lib import pythons
from lib.pythons import REPO, TARGET, Failure

HOME = TARGET / "check-layouts"
ELFTOOLS = "pyelftools==0.33"

# --- What each row is -----------------------------------------------------------
#
# "Struct.field" is an offset, and a row without a value says that the field does
# not exist; "a | b" is the first that exists.  "file.c:Struct" tells one of
# several structures of a name.  Functions get a Subject and the row's value, and
# return what it should be, or NotHere.

ROWS = {
    "runtime.interpreters_head": "_PyRuntimeState.interpreters.head",
    "runtime.interpreters_main": "_PyRuntimeState.interpreters.main",
    "runtime.size": "sizeof _PyRuntimeState | sizeof pyruntimestate",
    "runtime.finalizing": "_PyRuntimeState._finalizing | _PyRuntimeState.finalizing",
    "collector.state.Runtime": "_PyRuntimeState.gc",
    "collector.state.Interpreter": "PyInterpreterState.gc",
    "collector.collecting": "_gc_runtime_state.collecting",
    "collector.generations": "_gc_runtime_state.generations | _gc_runtime_state.young",
    "collector.long_lived": "_gc_runtime_state.long_lived_total",
    "collector.statistics.Counts": "_gc_runtime_state.generation_stats",
    "collector.statistics.Rings": "_gc_runtime_state.generation_stats",
    "interpreter.next": "PyInterpreterState.next",
    "interpreter.id": "PyInterpreterState.id",
    "interpreter.threads_head": "PyInterpreterState.threads.head | PyInterpreterState.tstate_head",
    "interpreter.modules": "PyInterpreterState.imports.modules | PyInterpreterState.modules",
    "interpreter.asyncio_tasks_head": "PyInterpreterState.asyncio_tasks_head",
    "thread.next": "PyThreadState.next",
    "thread.interp": "PyThreadState.interp",
    "thread.current_frame.Direct": "PyThreadState.current_frame | PyThreadState.frame",
    "thread.current_frame.CFrame.cframe": "PyThreadState.cframe",
    "thread.current_frame.CFrame.current_frame": "_PyCFrame.current_frame",
    "thread.thread_id": "PyThreadState.thread_id",
    "thread.native_thread_id": "PyThreadState.native_thread_id",
    "thread.exc_info": "PyThreadState.exc_info",
    "thread.context": "PyThreadState.context",
    "thread.datastack_chunk": "PyThreadState.datastack_chunk",
    "thread.running_loop.DictHolder.dict": "PyThreadState.dict",
    "thread.running_loop.DictHolder.running_loop": "PyRunningLoopHolder.rl_loop",
    "thread.running_loop.DictHolder.pid": "PyRunningLoopHolder.rl_pid",
    "thread.running_loop.Dict.dict": "PyThreadState.dict",
    "thread.running_loop.Field": "_PyThreadStateImpl.asyncio_running_loop",
    "thread.asyncio_running_task": "_PyThreadStateImpl.asyncio_running_task",
    "thread.asyncio_tasks_head": "_PyThreadStateImpl.asyncio_tasks_head",
    "frame.Object.back": "PyFrameObject.f_back",
    "frame.Object.code": "PyFrameObject.f_code",
    "frame.Object.valuestack": "PyFrameObject.f_valuestack",
    "frame.Object.depth.Top": "PyFrameObject.f_stacktop",
    "frame.Object.depth.Count": "PyFrameObject.f_stackdepth",
    "frame.Object.generator": "PyFrameObject.f_gen",
    "frame.Object.lasti": "PyFrameObject.f_lasti",
    "frame.Object.globals": "PyFrameObject.f_globals",
    "frame.Object.iblock": "PyFrameObject.f_iblock",
    "frame.Object.blockstack": "PyFrameObject.f_blockstack",
    "frame.Object.localsplus": "PyFrameObject.f_localsplus",
    "frame.Interpreter.executable": "_PyInterpreterFrame.f_executable | _PyInterpreterFrame.f_code",
    "frame.Interpreter.previous": "_PyInterpreterFrame.previous",
    "frame.Interpreter.instruction": "_PyInterpreterFrame.instr_ptr | _PyInterpreterFrame.prev_instr",
    "frame.Interpreter.function": "_PyInterpreterFrame.f_funcobj | _PyInterpreterFrame.f_func",
    "frame.Interpreter.globals": "_PyInterpreterFrame.f_globals",
    "frame.Interpreter.stack.Count": "_PyInterpreterFrame.stacktop",
    "frame.Interpreter.stack.Pointer": "_PyInterpreterFrame.stackpointer",
    "frame.Interpreter.owner": "_PyInterpreterFrame.owner",
    "frame.Interpreter.localsplus": "_PyInterpreterFrame.localsplus",
    "code.firstlineno": "PyCodeObject.co_firstlineno",
    "code.flags": "PyCodeObject.co_flags",
    "code.filename": "PyCodeObject.co_filename",
    "code.name": "PyCodeObject.co_name",
    "code.qualname": "PyCodeObject.co_qualname",
    "code.line_table.Lnotab": "PyCodeObject.co_lnotab",
    "code.line_table.Pairs": "PyCodeObject.co_linetable",
    "code.line_table.Locations": "PyCodeObject.co_linetable",
    "code.bytecode.Bytes": "PyCodeObject.co_code",
    "code.bytecode.Inline": "PyCodeObject.co_code_adaptive",
    "code.stacksize": "PyCodeObject.co_stacksize",
    "code.names.Tuples.varnames": "PyCodeObject.co_varnames",
    "code.names.Tuples.cellvars": "PyCodeObject.co_cellvars",
    "code.names.Tuples.freevars": "PyCodeObject.co_freevars",
    "code.names.Localsplus.names": "PyCodeObject.co_localsplusnames",
    "code.names.Localsplus.kinds": "PyCodeObject.co_localspluskinds",
    "code.names.Localsplus.count": "PyCodeObject.co_nlocalsplus",
    "code.exception_table": "PyCodeObject.co_exceptiontable",
    "code.global_names": "PyCodeObject.co_names",
    "generator.frame.Pointer.frame": "PyGenObject.gi_frame",
    "generator.frame.Pointer.running.Generator": "PyGenObject.gi_running",
    "generator.frame.Pointer.running.Frame": "PyFrameObject.f_state",
    "generator.frame.Embedded.frame": "PyGenObject.gi_iframe",
    "generator.frame.Embedded.state": "PyGenObject.gi_frame_state",
    "generator.qualname": "PyGenObject.gi_qualname",
    "generator.exc_value": "PyGenObject.gi_exc_state.exc_value",
    "awaitable.future_iter": "futureiterobject.future",
    "awaitable.coroutine_wrapper": "PyCoroWrapper.cw_coroutine",
    "awaitable.asend": "PyAsyncGenASend.ags_gen",
    "awaitable.athrow": "PyAsyncGenAThrow.agt_gen",
    "object.ob_type": "PyObject.ob_type",
    "object.ob_size": "PyVarObject.ob_size",
    "class.name": "PyTypeObject.tp_name",
    "class.basicsize": "PyTypeObject.tp_basicsize",
    "class.itemsize": "PyTypeObject.tp_itemsize",
    "class.flags": "PyTypeObject.tp_flags",
    "class.base": "PyTypeObject.tp_base",
    "class.dict": "PyTypeObject.tp_dict",
    "class.dictoffset": "PyTypeObject.tp_dictoffset",
    "class.mro": "PyTypeObject.tp_mro",
    "class.subclasses": "PyTypeObject.tp_subclasses",
    "class.qualname": "PyHeapTypeObject.ht_qualname",
    "class.cached_keys": "PyHeapTypeObject.ht_cached_keys",
    "unicode.length": "PyASCIIObject.length",
    "unicode.state": "PyASCIIObject.state",
    "unicode.ascii_data": "sizeof PyASCIIObject",
    "unicode.data": "sizeof PyCompactUnicodeObject",
    "int.size.Signed": "PyVarObject.ob_size",
    "int.size.Tag": "PyLongObject.long_value.lv_tag",
    "int.digits": "PyLongObject.long_value.ob_digit | PyLongObject.ob_digit",
    "dict.used": "PyDictObject.ma_used",
    "dict.keys": "PyDictObject.ma_keys",
    "dict.values": "PyDictObject.ma_values",
    "dict.keys_layout.Sized.size": "PyDictKeysObject.dk_size",
    "dict.keys_layout.Sized.nentries": "PyDictKeysObject.dk_nentries",
    "dict.keys_layout.Sized.indices": "PyDictKeysObject.dk_indices",
    "dict.keys_layout.Log2.log2_index_bytes": "PyDictKeysObject.dk_log2_index_bytes",
    "dict.keys_layout.Log2.kind": "PyDictKeysObject.dk_kind",
    "dict.keys_layout.Log2.nentries": "PyDictKeysObject.dk_nentries",
    "dict.keys_layout.Log2.indices": "PyDictKeysObject.dk_indices",
    "attributes.Inline.valid": "PyDictValues.valid",
    "set.used": "PySetObject.used",
    "set.mask": "PySetObject.mask",
    "set.table": "PySetObject.table",
    "small.float_value": "PyFloatObject.ob_fval",
    "small.bytes_data": "PyBytesObject.ob_sval",
    "small.tuple_items": "PyTupleObject.ob_item",
    "small.list_items": "PyListObject.ob_item",
    "small.weakref_object": "PyWeakReference.wr_object",
    "small.method_func": "PyMethodObject.im_func",
    "small.method_self": "PyMethodObject.im_self",
    "small.builtin_ml": "PyCFunctionObject.m_ml",
    "small.builtin_self": "PyCFunctionObject.m_self",
    "small.cell_ref": "PyCellObject.ob_ref",
    "small.partial_fn": "partialobject.fn",
    "small.partial_args": "partialobject.args",
    "small.module_dict": "PyModuleObject.md_dict",
    "small.module_state": "PyModuleObject.md_state",
    "small.member": "PyMemberDescrObject.d_member",
    "small.exception_args": "PyBaseExceptionObject.args",
    "small.exception_traceback": "PyBaseExceptionObject.traceback",
    "small.step_wrapper_task": "TaskStepMethWrapper.sw_task",
    "iterators.index": "_PyListIterObject.it_index | listiterobject.it_index",
    "iterators.items": "_PyListIterObject.it_seq | listiterobject.it_seq",
    "iterators.range.Index.index": "rangeiterobject.index",
    "iterators.range.Index.len": "rangeiterobject.len",
    "iterators.range.Left.len": "_PyRangeIterObject.len",
    "iterators.dict_used": "dictiterobject.di_used",
    "iterators.dict_left": "dictiterobject.len",
    "iterators.set_used": "setiterobject.si_used",
    "iterators.set_left": "setiterobject.len",
    "iterators.enumerated": "enumobject.en_sit",
    "iterators.zipped": "zipobject.ittuple",
    "deque.leftblock": "dequeobject.leftblock",
    "deque.leftindex": "dequeobject.leftindex",
    "deque.block_data": "_collectionsmodule.c:block.data",
    "deque.block_right": "_collectionsmodule.c:block.rightlink",
    "traceback.next": "PyTracebackObject.tb_next",
    "traceback.frame": "PyTracebackObject.tb_frame",
    "traceback.lasti": "PyTracebackObject.tb_lasti",
    "traceback.interpreter_frame": "PyFrameObject.f_frame",
    "function.code": "PyFunctionObject.func_code",
    "function.closure": "PyFunctionObject.func_closure",
    "function.defaults": "PyFunctionObject.func_defaults",
    "function.qualname": "PyFunctionObject.func_qualname",
    "function.globals": "PyFunctionObject.func_globals",
    "future.running_loop": "FutureObj.fut_loop",
    "future.callback0": "FutureObj.fut_callback0",
    "future.callbacks": "FutureObj.fut_callbacks",
    "future.exception": "FutureObj.fut_exception",
    "future.cancel_msg": "FutureObj.fut_cancel_msg",
    "future.state": "FutureObj.fut_state",
    "future.log_tb.Int": "FutureObj.fut_log_tb",
    "future.awaited_by": "FutureObj.fut_awaited_by",
    "future.awaited_by.awaited_by": "FutureObj.fut_awaited_by",
    "future.awaited_by.is_set": "FutureObj.fut_awaited_by_is_set",
    "task.fut_waiter": "TaskObj.task_fut_waiter",
    "task.coro": "TaskObj.task_coro",
    "task.name": "TaskObj.task_name",
    "task.context": "TaskObj.task_context",
    "task.must_cancel.Int": "TaskObj.task_must_cancel",
    "task.num_cancels_requested": "TaskObj.task_num_cancels_requested",
    "task.node": "TaskObj.task_node",
    "task.size": "sizeof TaskObj",
    "context.vars": "PyContext.ctx_vars",
    "context.hamt_root": "PyHamtObject.h_root",
    "context.hamt_count": "PyHamtObject.h_count",
    "context.bitmap": "PyHamtNode_Bitmap.b_bitmap",
    "context.bitmap_array": "PyHamtNode_Bitmap.b_array",
    "context.array": "PyHamtNode_Array.a_array",
    "context.array_count": "PyHamtNode_Array.a_count",
    "context.collision_array": "PyHamtNode_Collision.c_array",
    "context.var_name": "PyContextVar.var_name",
    "context.token_context": "PyContextToken.tok_ctx",
    "context.token_var": "PyContextToken.tok_var",
    "context.token_old_value": "PyContextToken.tok_oldval",
    "context.token_used": "PyContextToken.tok_used",
    "registry.Lists.foreign": "asyncio_state.non_asyncio_tasks",
    "registry.Lists.foreign_eager": "asyncio_state.non_asyncio_eager_tasks",
    # The frame states and owners of 3.11 and later are enumerators.
    "generator.frame.Embedded.states.created": "enum FRAME_CREATED",
    "generator.frame.Embedded.states.suspended": "enum FRAME_SUSPENDED",
    "generator.frame.Embedded.states.executing": "enum FRAME_EXECUTING",
    "owned_by_generator": "enum FRAME_OWNED_BY_GENERATOR",
}


class NotHere(Exception):
    """This row cannot be checked, for the reason given."""


def row(name):
    def keep(function):
        ROWS[name] = function
        return function
    return keep


@row("generator.frame.Embedded.states.awaiting")
def _(subject, _value):
    states = subject.dwarf.enumerators("FRAME_SUSPENDED_YIELD_FROM")
    return [min(states), max(states)] if states else None


@row("frame.Interpreter.last_owner")
def _(subject, _value):
    return max(subject.dwarf.enumerators("FRAME_OWNED_BY_"))


@row("frame.Interpreter.first_shim_owner")
def _(subject, _value):
    for name in ["FRAME_OWNED_BY_INTERPRETER", "FRAME_OWNED_BY_CSTACK"]:
        if subject.dwarf.enumerators(name):
            return min(subject.dwarf.enumerators(name))
    return max(subject.dwarf.enumerators("FRAME_OWNED_BY_")) + 1  # there are none


@row("future.log_tb.Bit.byte")
def _(subject, _value):
    return subject.dwarf.bit("FutureObj.fut_log_tb") // 8


@row("future.log_tb.Bit.bit")
def _(subject, _value):
    return subject.dwarf.bit("FutureObj.fut_log_tb") % 8


@row("task.must_cancel.Bit.byte")
def _(subject, _value):
    return subject.dwarf.bit("TaskObj.task_must_cancel") // 8


@row("task.must_cancel.Bit.bit")
def _(subject, _value):
    return subject.dwarf.bit("TaskObj.task_must_cancel") % 8


@row("dict.first_value")
def _(subject, _value):
    found = subject.dwarf("PyDictValues.values")
    return 0 if found is None else found  # before 3.11 ma_values is the array itself


@row("awaitable.anext")
def _(subject, value):
    found = subject.dwarf("anextawaitableobject.wrapped")
    if found is None and subject.minor < 10:
        raise NotHere("anext() came with 3.10")
    return found


def within(struct, group):
    """How much is read: to the end of every field that is used, and not beyond the structure."""
    fields = [query for name, query in ROWS.items()
              if name.startswith(group) and isinstance(query, str) and query.startswith(struct)]

    def check(subject, value):
        size = subject.dwarf("sizeof " + struct)
        last = max(subject.dwarf(query) or 0 for query in fields)
        return value if size and last < value <= size else "more than %d, up to %s" % (last, size)
    return check


ROWS["code.size"] = within("PyCodeObject", "code.")


@row("generator.size")
def _(subject, value):
    if "generator.frame.Embedded.frame" not in subject.rows:
        return within("PyGenObject", "generator.")(subject, value)
    # With the frame inside, up to the frame's locals.
    return subject.dwarf("PyGenObject.gi_iframe") + subject.dwarf("_PyInterpreterFrame.localsplus")


def told(name):
    """What the interpreter itself said, see INSIDE."""
    def check(subject, _value):
        return subject.inside.get(name)
    return check


for _name, _fact in {
    "awaiting.NextOpcode.yield_from": "yield_from",
    "awaiting.NextResume.resume": "resume",
    "awaiting.State.slot": "slot",
    "handler.with_except_start": "with_except_start",
    "handler.get_awaitable": "get_awaitable",
    "handler.end_async_for": "end_async_for",
    "handler.exit_slots": "exit_slots",
    "iterators.slots": "loop_slots",
    "opcodes.meanings": "meanings",
    "opcodes.caches": "caches",
    "opcodes.jump_unit": "jump_unit",
    "opcodes.global_shift": "global_shift",
    "opcodes.attribute_shift": "attribute_shift",
    "frame.Object.lasti_unit": "lasti_unit",
    "frame.Interpreter.tag_mask": "tag_mask",
    "attributes": "attributes",
    "attributes.Managed311.values_before": "values_before",
    "attributes.Managed311.dict_before": "dict_before",
    "attributes.Managed312.word_before": "dict_before",
    "attributes.Inline.dict_before": "dict_before",
    "registry": "registry",
    "load_local.one": "load_one",
    "load_local.both": "load_both",
    "load_local.second": "load_second",
    "load_local.hidden": "hidden",
    "simple_queue.List.items": "simple_queue.List.items",
    "simple_queue.List.first": "simple_queue.List.first",
    "simple_queue.Ring.first": "simple_queue.Ring.first",
    "simple_queue.Ring.items": "simple_queue.Ring.items",
    "simple_queue.Ring.capacity": "simple_queue.Ring.capacity",
    "simple_queue.Ring.count": "simple_queue.Ring.count",
    "pthread_tid": "pthread_tid",
    "socket_fd": "socket_fd",
    "minor": "minor",
}.items():
    ROWS[_name] = told(_fact)

# Rows of src/layout/uvloop.rs: what they are in the DWARF of uvloop's wheel.  Its
# classes are Cython's "__pyx_obj_6uvloop_4loop_Loop"; here "Loop".
UVLOOP_ROWS = {
    "loop.uvloop": "Loop.uvloop",
    "loop.closed": "Loop._closed",
    "loop.debug": "Loop._debug",
    "loop.thread_id": "Loop._thread_id",
    "loop.default_executor": "Loop._default_executor",
    "loop.ready": "Loop._ready",
    "handle.cancelled": "Handle._cancelled",
    "handle.meth_name": "Handle.meth_name",
    "handle.cb_type": "Handle.cb_type",
    "handle.arg1": "Handle.arg1",
    "handle.arg2": "Handle.arg2",
    "uv_handle.handle": "UVHandle._handle",
    "uv_handle.protocol": "UVBaseTransport._protocol",
    "uv_handle.waiter": "UVBaseTransport._waiter",
    "uv_handle.server": "UVStreamServer._server",
    "poll.fd": "UVPoll.fd",
    "poll.reading_handle": "UVPoll.reading_handle",
    "poll.writing_handle": "UVPoll.writing_handle",
    "process.pid": "UVProcess._pid",
    "process.exit_waiters": "UVProcessTransport._exit_waiters",
    "process.protocol": "UVProcessTransport._protocol",
    "server.waiters": "Server._waiters",
    "server.serving_forever_fut": "Server._serving_forever_fut",
    "tls.waiter": "SSLProtocol._waiter",
    "tls.transport": "SSLProtocol._transport",
    "tls.app_protocol": "SSLProtocol._app_protocol",
    "tls_transport_protocol": "_SSLProtocolTransport._ssl_protocol",
    "uv_loop.data": "uv_loop_t.data",
    "uv_loop.handle_queue": "uv_loop_t.handle_queue",
    "uv_loop.backend_fd": "uv_loop_t.backend_fd",
    "uv_loop.async_loop": "uv_loop_t.wq_async.loop",
    "uv_loop.async_fd": "uv_loop_t.async_io_watcher.fd",
    "uv_loop.timer_heap": "uv_loop_t.timer_heap",
    "uv_loop.time": "uv_loop_t.time",
    "uv_loop.signal_pipe": "uv_loop_t.signal_pipefd",
    "native.data": "uv_handle_t.data",
    "native.running_loop": "uv_handle_t.loop",
    "native.handle_queue": "uv_handle_t.handle_queue",
    "native.stream_fd": "uv_stream_t.io_watcher.fd",
    "native.udp_fd": "uv_udp_t.io_watcher.fd",
}


def in_wheel(query):
    """An offset in uvloop's wheel."""
    def check(subject, _value):
        return subject.wheel(query)
    return check


for _name, _query in UVLOOP_ROWS.items():
    ROWS["uvloop." + _name] = in_wheel(_query)


@row("uvloop.loop.timers")
def _(subject, value):
    found = subject.wheel("Loop._timers")
    return value if found in value else found  # it moved: the row has all its places


@row("uvloop.loop.ssock")
def _(subject, value):
    found = subject.wheel("Loop._ssock")
    return value if found in value else found


@row("uvloop.process.pipes")
def _(subject, _value):
    return [subject.wheel("UVProcessTransport." + name) for name in ["_stdin", "_stdout", "_stderr"]]


@row("uvloop.handle_arguments")
def _(subject, _value):
    return (subject.wheel("Handle.arg4") - subject.wheel("Handle.arg1")) // 8 + 1


@row("uvloop.timer_node_timeout")
def _(subject, _value):
    # In a later libuv the link is in a union, under another name.
    return subject.wheel("uv_timer_t.timeout") - subject.wheel("uv_timer_t.heap_node | uv_timer_t.node")


# Where the tables of the target itself are read: by the name of the field in
# src/layout/debug_offsets.rs, its path in _Py_DebugOffsets and the rows that it
# replaces.  A replaced row may differ between patch releases.
DEBUG_OFFSETS = {
    "runtime_size": ("runtime_state.size", ["runtime.size"]),
    "interpreters_head": ("runtime_state.interpreters_head",
                          ["runtime.interpreters_head", "runtime.interpreters_main"]),
    "finalizing": ("runtime_state.finalizing", ["runtime.finalizing"]),
    "interpreter_size": ("interpreter_state.size", []),
    "interpreter_id": ("interpreter_state.id", ["interpreter.id"]),
    "interpreter_next": ("interpreter_state.next", ["interpreter.next"]),
    "threads_head": ("interpreter_state.threads_head", ["interpreter.threads_head"]),
    "modules": ("interpreter_state.imports_modules", ["interpreter.modules"]),
    "gc": ("interpreter_state.gc", ["collector.state.Interpreter"]),
    "thread_size": ("thread_state.size", ["thread.running_loop.Field"]),
    "thread_next": ("thread_state.next", ["thread.next"]),
    "thread_interp": ("thread_state.interp", ["thread.interp"]),
    "current_frame": ("thread_state.current_frame", ["thread.current_frame.Direct"]),
    "thread_id": ("thread_state.thread_id", ["thread.thread_id"]),
    "native_thread_id": ("thread_state.native_thread_id", ["thread.native_thread_id"]),
    "datastack_chunk": ("thread_state.datastack_chunk", ["thread.datastack_chunk"]),
    "frame_previous": ("interpreter_frame.previous", ["frame.Interpreter.previous"]),
    "frame_executable": ("interpreter_frame.executable", ["frame.Interpreter.executable"]),
    "frame_instr_ptr": ("interpreter_frame.instr_ptr", ["frame.Interpreter.instruction"]),
    "frame_localsplus": ("interpreter_frame.localsplus", ["frame.Interpreter.localsplus"]),
    "frame_owner": ("interpreter_frame.owner", ["frame.Interpreter.owner"]),
    "frame_stackpointer": ("interpreter_frame.stackpointer", ["frame.Interpreter.stack.Pointer"]),
    "code_size": ("code_object.size", ["code.size"]),
    "code_filename": ("code_object.filename", ["code.filename"]),
    "code_name": ("code_object.name", ["code.name"]),
    "code_qualname": ("code_object.qualname", ["code.qualname"]),
    "code_linetable": ("code_object.linetable", ["code.line_table.Locations"]),
    "code_firstlineno": ("code_object.firstlineno", ["code.firstlineno"]),
    "code_localsplusnames": ("code_object.localsplusnames", ["code.names.Localsplus.names"]),
    "code_localspluskinds": ("code_object.localspluskinds", ["code.names.Localsplus.kinds"]),
    "code_bytecode": ("code_object.co_code_adaptive", ["code.bytecode.Inline"]),
    "ob_type": ("pyobject.ob_type", ["object.ob_type"]),
    "tp_name": ("type_object.tp_name", ["class.name"]),
    "tp_flags": ("type_object.tp_flags", ["class.flags"]),
    "tuple_item": ("tuple_object.ob_item", ["small.tuple_items"]),
    "list_item": ("list_object.ob_item", ["small.list_items"]),
    "ma_keys": ("dict_object.ma_keys", ["dict.keys"]),
    "ma_values": ("dict_object.ma_values", ["dict.values"]),
    "str_state": ("unicode_object.state", ["unicode.state"]),
    "str_length": ("unicode_object.length", ["unicode.length"]),
    "str_ascii_size": ("unicode_object.asciiobject_size", ["unicode.ascii_data"]),
    "gi_iframe": ("gen_object.gi_iframe", ["generator.frame.Embedded.frame"]),
    "gi_frame_state": ("gen_object.gi_frame_state", ["generator.frame.Embedded.state"]),
    "gc_size": ("gc.size", []),
    "gc_collecting": ("gc.collecting", ["collector.collecting"]),
    "gc_generation_stats": ("gc.generation_stats", ["collector.statistics.Rings"]),
}
ASYNCIO_ROWS = ["task.name", "task.coro", "task.node", "future.awaited_by.awaited_by", "future.awaited_by.is_set",
                "interpreter.asyncio_tasks_head", "thread.running_loop.Field", "thread.asyncio_running_task",
                "thread.asyncio_tasks_head"]

# --- What DWARF says --------------------------------------------------------------

# The sources in which all of those types are defined, of over a hundred.
SOURCES = ["genobject.c", "pystate.c", "dictobject.c", "longobject.c", "floatobject.c", "funcobject.c",
           "methodobject.c", "classobject.c", "cellobject.c", "descrobject.c", "weakrefobject.c",
           "iterobject.c", "moduleobject.c", "exceptions.c", "_collectionsmodule.c",
           "_functoolsmodule.c", "_asynciomodule.c", "traceback.c", "loop.c", "listobject.c",
           "rangeobject.c", "setobject.c", "enumobject.c", "bltinmodule.c", "context.c", "hamt.c"]


class Dwarf:
    """Answers from the DWARF of an interpreter; what was asked before, from a file."""

    def __init__(self, files):
        self.files = files
        self.units = None
        script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
        builds = [pythons.build_id(file) or "%s-%d" % (Path(file).name, os.stat(file).st_mtime_ns) for file in files]
        self.cache = HOME / ("%s-%s.json" % ("-".join(dict.fromkeys(builds)), script))
        self.known = pythons.read_json(self.cache) or {}
        self.has_news = False

    def __call__(self, query):
        """The offset of "Struct.field", or "sizeof Struct", or "enum NAME"; None if there is none."""
        return self._answer(query, lambda: self._first(query))

    def bit(self, query):
        """The number of bits before a bit field."""
        return self._answer("bit " + query, lambda: self._offset(query, True))

    def enumerators(self, start):
        """The values of all enumerators whose name starts so."""
        return self._answer("enums " + start, lambda: sorted(
            value for _, _, enums in self._units() for name, value in enums.items() if name.startswith(start)))

    def save(self):
        if self.has_news:
            pythons.write_file(self.cache, json.dumps(self.known, indent=1, sort_keys=True) + "\n")

    def _answer(self, query, find):
        if query not in self.known:
            self.known[query] = find()
            self.has_news = True
        return self.known[query]

    def _first(self, query):
        for one in query.split(" | "):
            if one.startswith("sizeof "):
                found = self._struct(one[7:])
                found = found and found.attributes["DW_AT_byte_size"].value
            elif one.startswith("enum "):
                found = next((enums[one[5:]] for _, _, enums in self._units() if one[5:] in enums), None)
            else:
                found = self._offset(one, False)
            if found is not None:
                return found
        return None

    def _units(self):
        """(source, types by name, enumerators by name) of each source."""
        if self.units is None:
            from elftools.elf.elffile import ELFFile
            units = {}
            for file in dict.fromkeys(self.files):
                elf = ELFFile(open(str(file), "rb"))
                for unit in elf.get_dwarf_info(follow_links=False).iter_CUs():
                    top = unit.get_top_DIE()
                    source = os.path.basename(text(top, "DW_AT_name"))
                    if source in SOURCES:
                        units.setdefault(source, (source,) + names_of(unit, top))
            self.units = [units[source] for source in SOURCES if source in units]
        return self.units

    def _struct(self, name):
        source, _, name = name.rpartition(":")
        for unit, types, _ in self._units():
            if source in ("", unit):
                for die in types.get(name, []):
                    die = bare(die)
                    if die is not None and "DW_AT_byte_size" in die.attributes:
                        return die
        return None

    def _offset(self, path, as_bit):
        source, _, rest = path.rpartition(":")
        name, *fields = rest.split(".")
        die, bits = self._struct(source + ":" + name if source else name), 0
        for field in fields:
            found = die is not None and member(die, field)
            if not found:
                return None
            bits += found[0]
            die = bare(found[1])
        # An offset in bytes of a bit field would be the wrong kind of row.
        return bits if as_bit else bits // 8 if bits % 8 == 0 else None


def text(die, attribute):
    found = die.attributes.get(attribute)
    return found.value.decode(errors="replace") if found else ""


def names_of(unit, top):
    types, enums = {}, {}
    for die in unit.iter_DIE_children(top):
        name = text(die, "DW_AT_name")
        if die.tag in ("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_typedef") and name:
            types.setdefault(name, []).append(die)
        elif die.tag == "DW_TAG_enumeration_type":
            for one in die.iter_children():
                if one.tag == "DW_TAG_enumerator":
                    enums[text(one, "DW_AT_name")] = one.attributes["DW_AT_const_value"].value
    return types, enums


def bare(die):
    """A type without its typedefs and qualifiers; None if there is nothing behind them."""
    while die.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type"):
        if "DW_AT_type" not in die.attributes:
            return None
        die = die.get_DIE_from_attribute("DW_AT_type")
    return die


def member(struct, name):
    """(offset in bits, type) of a field, also of one inside an anonymous structure."""
    for die in struct.iter_children():
        if die.tag != "DW_TAG_member":
            continue
        def value(attribute):
            found = die.attributes.get(attribute)
            return found.value if found else 0
        bits = 8 * value("DW_AT_data_member_location") + value("DW_AT_data_bit_offset")
        if "DW_AT_bit_offset" in die.attributes:  # before DWARF 4: counted from the other end
            bits += 8 * value("DW_AT_byte_size") - value("DW_AT_bit_offset") - value("DW_AT_bit_size")
        inner = die.get_DIE_from_attribute("DW_AT_type")
        if text(die, "DW_AT_name") == name:
            return bits, inner
        if "DW_AT_name" not in die.attributes:
            found = member(bare(inner), name)
            if found:
                return bits + found[0], found[1]
    return None


# --- What the interpreter says ------------------------------------------------------

# Gets the rows of its version, prints facts.  Where a row can
# only be tried (by following it to an object that is known), the fact is the row
# itself if it leads there, else what was found instead.
INSIDE = r"""
import asyncio, dis, json, opcode, os, struct, sys, threading
rows = json.loads(sys.argv[1])
memory = os.open("/proc/self/mem", os.O_RDONLY)  # a wrong address is then no crash
def read(at, form):
    try:
        return struct.unpack(form, os.pread(memory, struct.calcsize(form), at))[0]
    except (OSError, OverflowError, struct.error):
        return -1
def word(at): return read(at, "Q")
def count(at): return read(at, "i")
facts = {"minor": sys.version_info[1]}

codes = dict(opcode.opmap)
codes.update(getattr(dis, "_all_opmap", {}))
facts["yield_from"] = codes.get("YIELD_FROM")
resumes = [name for name in ["RESUME", "RESUME_QUICK", "INSTRUMENTED_RESUME"] if name in codes]
facts["resume"] = [codes[name] for name in resumes]
facts["with_except_start"] = codes.get("WITH_EXCEPT_START", codes.get("WITH_CLEANUP_START"))
facts["get_awaitable"] = codes["GET_AWAITABLE"]
facts["end_async_for"] = codes["END_ASYNC_FOR"]
facts["exit_slots"] = 2 if "LOAD_SPECIAL" in codes else 1
facts["loop_slots"] = 2 if "FOR_ITER_VIRTUAL" in getattr(opcode, "_specialized_opmap", {}) else 1

# What opcodes mean, with all that may stand for them in memory: specialized, instrumented.
codes.update(getattr(opcode, "_specialized_opmap", {}))
codes = {name: code for name, code in codes.items() if code < 256}
variants = {name: [name] for name in codes if not name.startswith("INSTRUMENTED_")}
for name, special in (getattr(opcode, "_specializations", None) or {}).items():
    variants[name] += [one for one in special if one in codes]
for name in codes:
    base = name.replace("INSTRUMENTED_", "")
    if name != base and base in variants:
        variants[base].append(name)
def jumps(table):
    return [name for name in variants if codes[name] in table and name not in not_branches]
not_branches = ["JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE", "SEND",
                "END_ASYNC_FOR", "JUMP_IF_NOT_EXC_MATCH", "SETUP_FINALLY", "SETUP_WITH", "SETUP_ASYNC_WITH", "CALL_FINALLY"]
branches = jumps(dis.hasjrel)
meanings = {
    "ExtendedArg": ["EXTENDED_ARG"],
    "JumpForward": ["JUMP_FORWARD"],
    "JumpBackward": ["JUMP_BACKWARD"],
    "JumpAbsolute": ["JUMP_ABSOLUTE"],
    "AwaitAgain": ["JUMP_BACKWARD_NO_INTERRUPT"],
    "BranchForward": [name for name in branches if "BACKWARD" not in name and name != "FOR_ITER"],
    "ForIter": ["FOR_ITER"],
    "BranchBackward": [name for name in branches if "BACKWARD" in name],
    "BranchAbsolute": jumps(dis.hasjabs),
    "Send": ["SEND"],
    "YieldFrom": ["YIELD_FROM"],
    "Yield": ["YIELD_VALUE"],
    "Protect": ["SETUP_FINALLY"],
    "ProtectWith": ["SETUP_WITH", "SETUP_ASYNC_WITH"],
    "CallFinally": ["CALL_FINALLY"],
    "BeginFinally": ["BEGIN_FINALLY"],
    "EndFinally": ["END_FINALLY"],
    "PopFinally": ["POP_FINALLY"],
    "WithExceptStart": ["WITH_EXCEPT_START", "WITH_CLEANUP_START"],
    "WithFinish": ["WITH_CLEANUP_FINISH"],
    "EndAsyncFor": ["END_ASYNC_FOR"],
    "PushExcInfo": ["PUSH_EXC_INFO"],
    "PopExcept": ["POP_EXCEPT"],
    "Raise": ["RAISE_VARARGS", "RERAISE"],
    "Return": ["RETURN_VALUE", "RETURN_CONST"],
    "CheckExcMatch": ["CHECK_EXC_MATCH", "CHECK_EG_MATCH"],
    "MatchBranch": ["JUMP_IF_NOT_EXC_MATCH"],
    "Compare": ["COMPARE_OP"] if "exception match" in dis.cmp_op else [],
    "LoadConst": ["LOAD_CONST"],
    "LoadGlobal": ["LOAD_GLOBAL"],
    "LoadName": ["LOAD_NAME"],
    "LoadAttr": ["LOAD_ATTR", "LOAD_METHOD"],
    "LoadFast": ["LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"],
    "LoadDeref": ["LOAD_DEREF"],
    "Copy": ["DUP_TOP", "COPY"],
    "PopTop": ["POP_TOP"],
    "Store": ["STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF"],
    "Hidden": ["INSTRUMENTED_LINE", "INSTRUMENTED_INSTRUCTION", "ENTER_EXECUTOR"],
}
variants.update({name: [name] for name in meanings["Hidden"] if name in codes})
counts = {}
entries = getattr(opcode, "_inline_cache_entries", {})
for name, units in entries.items() if hasattr(entries, "items") else zip(opcode.opname, entries):
    if units and name in variants:
        counts.setdefault(units, []).extend(codes[one] for one in variants[name])
facts["meanings"] = [[one, sorted({codes[x] for name in names for x in variants.get(name, [])})]
                     for one, names in meanings.items()]
facts["meanings"] = [[one, found] for one, found in facts["meanings"] if found]
facts["caches"] = [[units, sorted(ops)] for units, ops in sorted(counts.items())]
facts["jump_unit"] = 2 if sys.version_info >= (3, 10) else 1
def shift(name):  # by how many bits the argument is more than the number of a name
    code = compile("def f(): (a, b, b.b)", "", "exec").co_consts[0]
    return next(one.arg for one in dis.get_instructions(code)
                if one.opname == name and one.argval == "b") // 2
facts["global_shift"], facts["attribute_shift"] = shift("LOAD_GLOBAL"), shift("LOAD_ATTR")

codes.update(getattr(opcode, "_specialized_opmap", {}))
def these(*names):
    return sorted(codes[name] for name in names if name in codes)
facts["load_one"] = these("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR", "LOAD_FAST_BORROW",
                          "LOAD_FAST__LOAD_CONST", "LOAD_FAST__LOAD_FAST")
facts["load_both"] = these("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW")
facts["load_second"] = these("STORE_FAST_LOAD_FAST")
facts["hidden"] = these("INSTRUMENTED_LINE", "INSTRUMENTED_INSTRUCTION")
known = (facts["load_one"] + facts["load_both"] + facts["load_second"] +
         these("STORE_FAST__LOAD_FAST", "LOAD_CONST__LOAD_FAST"))  # LOAD_FAST stands behind them
unknown = [name for name, code in codes.items() if "LOAD_FAST" in name and code not in known]
if unknown:
    facts["load_one"] = "not all: %s" % unknown

tasks = asyncio.tasks
facts["registry"] = ("ScheduledAndEager" if hasattr(tasks, "_scheduled_tasks") else
                     "AllTasks" if hasattr(tasks, "_all_tasks") else None)

at = rows["pthread_tid"]
found = count(threading.get_ident() + at)
facts["pthread_tid"] = at if found == threading.get_native_id() else "%d there is no thread id" % found

import socket
at = rows["socket_fd"]
with socket.socket() as one:
    found = count(id(one) + at)
    facts["socket_fd"] = at if found == one.fileno() else "%d there is no descriptor" % found

class C:
    pass
one, value = C(), object()
one.a = value
is_managed = bool(C.__flags__ & 1 << 4) and sys.version_info >= (3, 11)
facts["attributes"] = None if is_managed else "DictOffset"
if is_managed:
    first = rows["dict.first_value"]
    def tried(row, leads):
        before = rows.get(row)
        return before if before is None or leads(before) else "it does not lead there"
    if "attributes.Managed311.values_before" in rows:
        facts["values_before"] = tried("attributes.Managed311.values_before",
            lambda before: word(word(id(one) - before) + first) == id(value))
    if "attributes.Managed312.word_before" in rows:
        at = rows["attributes.Managed312.word_before"]
        tagged = word(id(one) - at)
        if tagged & 1 == 0 or word(tagged + 1 + first) != id(value):
            facts["dict_before"] = "no values there"
    if "attributes.Inline.dict_before" in rows:
        values = id(one) + C.__basicsize__
        valid = read(values + rows["attributes.Inline.valid"], "B")
        if valid != 1 or word(values + first) != id(value) or word(id(one) - rows["attributes.Inline.dict_before"]):
            facts["dict_before"] = "no inline values"
    made = one.__dict__
    for kind in ["Managed311.dict_before", "Managed312.word_before", "Inline.dict_before"]:
        if "attributes." + kind in rows:
            facts.setdefault("dict_before", tried("attributes." + kind,
                lambda before: word(id(one) - before) == id(made)))

from queue import SimpleQueue
queue = SimpleQueue()
given = [object() for _ in range(12)]
for one in given[:8]:
    queue.put(one)
for one in given[:6]:
    queue.get()
for one in given[8:]:
    queue.put(one)  # goes round in a ring of eight
at = {name: word(id(queue) + row) for name, row in rows.items() if name.startswith("simple_queue.")}
by = {name.rpartition(".")[2]: value for name, value in at.items()}
if "count" in by:
    seen = [word(by["items"] + 8 * ((by["first"] + i) % max(by["capacity"], 1))) for i in range(min(by["count"], 99))]
else:
    length, items = word(by["items"] + rows["object.ob_size"]), word(by["items"] + rows["small.list_items"])
    seen = [word(items + 8 * i) for i in range(by["first"], min(length, 99))]
for name in at:
    facts[name] = rows[name] if seen == [id(one) for one in given[6:]] else "the items are not there"

class Wait:
    def __await__(self):
        yield
wait = Wait().__await__()
class Given:
    def __await__(self):
        return wait
async def waits(held, none, given):
    await given
held = object()
task = waits(held, None, Given())
task.send(None)
if "frame.Object.lasti_unit" in rows:
    frame = task.cr_frame
    raw = count(id(frame) + rows["frame.Object.lasti"])
    facts["lasti_unit"] = frame.f_lasti // raw if raw and frame.f_lasti % raw == 0 else "f_lasti is not there"
else:
    frame = id(task) + rows["generator.frame.Embedded.frame"]
    locals_at = frame + rows["frame.Interpreter.localsplus"]
    mask = rows["frame.Interpreter.tag_mask"]
    seen = [word(locals_at + 8 * i) for i in (0, 1)]
    real = [id(held), id(None)]
    facts["tag_mask"] = mask if [one & ~mask for one in seen] == real else "%x is %x" % (seen[1], real[1])
    if "awaiting.State.slot" in rows:
        slot = rows["awaiting.State.slot"]
        if "frame.Interpreter.stack.Pointer" in rows:
            top = word(frame + rows["frame.Interpreter.stack.Pointer"])
        else:
            top = locals_at + 8 * count(frame + rows["frame.Interpreter.stack.Count"])
        found = word(top - 8 * slot) & ~mask
        facts["slot"] = slot if found == id(task.cr_await) == id(wait) else "another object is there"
task.close()
print(json.dumps(facts))
"""


def ask(python, rows):
    """The facts of INSIDE."""
    return json.loads(pythons.run([python, "-E", "-s", "-c", INSIDE, json.dumps(rows)], timeout=60, cwd="/"))


# --- One version ------------------------------------------------------------------------

class Subject:
    """One version: our rows, and who tells the truth about them."""

    def __init__(self, one, table):
        self.minor = table["layout"]["minor"]
        self.rows = dict(leaves(table["layout"]))
        self.rows.update(leaves(table["uvloop"], ("uvloop",)))
        for name in ["pthread_tid", "socket_fd", "owned_by_generator"]:
            if table[name] is not None:
                self.rows[name] = table[name]
        self.dwarf = Dwarf([one["debug"]["core"], one["debug"]["asyncio"]])
        self.inside = ask(one["python"], self.rows)
        folders = Path(one["venv"]).parent.parent.glob("lib/python*/site-packages/uvloop") if one["venv"] else []
        wheels = [file for folder in folders for file in folder.glob("loop.*.so")]
        self.uvloop = Dwarf(wheels) if wheels else None

    def wheel(self, query):
        """An offset in uvloop's wheel."""
        if self.uvloop is None:
            raise NotHere("no uvloop here")
        parts = [one if one.startswith("uv_") else "__pyx_obj_6uvloop_4loop_" + one for one in query.split(" | ")]
        return self.uvloop(" | ".join(parts))


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, path + (key,))
    else:
        yield ".".join(path), value


def check(one, table):
    """{outcome: [(row, source, ours, theirs)]} for one version."""
    if not one["debug"]["core"] or not one["debug"]["asyncio"]:
        return {"ignored": "no DWARF: scripts/pythons --symbols fetches it for Debian's interpreters"}
    try:
        subject = Subject(one, table)
    except Failure as failure:
        return {"failed": str(failure)}
    outcomes = {"dwarf": [], "inside": [], "absent": [], "unchecked": [], "replaced": [], "wrong": []}

    def judge(name, source, ours, theirs, way):
        if ours != theirs:
            way = "wrong"
        elif ours is None:
            way = "absent"
        outcomes[way].append((name, source, ours, theirs))

    replaced = set(ASYNCIO_ROWS if table["asyncio_debug"] else [])
    for name, at in (table["debug_offsets"] or {}).items():
        if name not in DEBUG_OFFSETS:
            outcomes["wrong"].append((name, "a row that this script does not know", at, None))
            continue
        path, rows = DEBUG_OFFSETS[name]
        # What we do not read on this version may well be there.
        if at is not None:
            judge("_Py_DebugOffsets." + path, "", at, subject.dwarf("_Py_DebugOffsets." + path), "dwarf")
            replaced.update(rows)
    for at, name in enumerate(table["asyncio_debug"] or []):
        path = "Py_AsyncioModuleDebugOffsets." + name
        judge(path, "", 8 * at, subject.dwarf(path), "dwarf")

    for name, ours in subject.rows.items():
        how = ROWS.get(name)
        if how is None:
            outcomes["wrong"].append((name, "a row that this script does not know", ours, None))
            continue
        if isinstance(how, str):
            way, source, theirs = "dwarf", how, subject.dwarf(how)
        else:
            way, source = ("inside" if how.__qualname__.startswith("told") else "dwarf"), ""
            try:
                theirs = how(subject, ours)
            except NotHere as reason:
                outcomes["unchecked"].append((name, str(reason), ours, None))
                continue
        if ours != theirs and name in replaced:
            outcomes["replaced"].append((name, source, ours, theirs))
        else:
            judge(name, source, ours, theirs, way)
    subject.dwarf.save()
    if subject.uvloop is not None:
        subject.uvloop.save()
    return outcomes


def our_tables():
    """The tables as examples/layouts.rs prints them."""
    tables = pythons.run(["cargo", "run", "--quiet", "--example", "layouts"], cwd=str(REPO))
    return {table["version"]: table for table in json.loads(tables)}


def provide_elftools(interpreters):
    folder = HOME / ELFTOOLS
    HOME.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        command = pythons.pip_command(interpreters)
        if not command:
            raise Failure("no pip and no uv here, with which to get " + ELFTOOLS)
        new = HOME / (".new-%d" % os.getpid())
        pythons.run(command + ["--no-deps", "--target", new, ELFTOOLS])
        shutil.rmtree(str(folder), ignore_errors=True)
        os.replace(str(new), str(folder))
    sys.path.insert(0, str(folder))
