//! Where fields lie in uvloop's objects and in libuv.
//!
//! uvloop's `Loop` is a C structure made by Cython, and moves between its releases; what is used
//! here stands at the same place in all wheels from 0.17.0 to 0.23.0 (their DWARF, and read
//! live), except `_timers` and `_ssock`, which are looked for. `uv_loop_t` is the same in all of them.

use serde::Serialize;

use super::Offset;

/// `uvloop.loop.Loop`.
#[expect(missing_docs, reason = "the names are uvloop's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Loop {
    /// The `uv_loop_t`.
    pub uvloop: Offset,
    pub closed: Offset,
    pub debug: Offset,
    /// The `pthread_t`; 0 while it does not run.
    pub thread_id: Offset,
    /// `None` until it is first needed.
    pub default_executor: Offset,
    /// A deque of handles.
    pub ready: Offset,
    /// Where the set `_timers` may be.
    pub timers: [Offset; 2],
    /// Where the socket `_ssock` may be, whose other end wakes the loop for a signal.
    pub ssock: [Offset; 2],
}

/// 0.17.0 (3.8), 0.19.0 (3.11), 0.21.0, 0.22.1, 0.23.0 (3.13): uvloop/loop.pxd; DWARF, live.
pub const LOOP: Loop = Loop {
    uvloop: 24,
    closed: 48,
    debug: 52,
    thread_id: 64,
    default_executor: 88,
    ready: 96,
    timers: [208, 216],
    ssock: [184, 192],
};

/// `uv_loop_t` of libuv.
#[expect(missing_docs, reason = "the names are libuv's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct UvLoop {
    /// Points back to the `Loop` object.
    pub data: Offset,
    /// All handles that are not closed, a circular list: [ next: ptr, prev: ptr ]
    pub handle_queue: Offset,
    pub backend_fd: Offset,
    /// `wq_async.loop`, which points back to the `uv_loop_t`. Before it lies a mutex, and that is
    /// longer by [`LONGER_MUTEX`] on some machines: so is what follows further behind.
    pub async_loop: Offset,
    /// `async_io_watcher.fd`, by which other threads wake it.
    pub async_fd: Offset,
    /// [ min: ptr, nelts: u32 ]
    pub timer_heap: Offset,
    /// Milliseconds of `CLOCK_MONOTONIC`, taken when the current iteration began.
    pub time: Offset,
    /// `signal_pipefd`, of which it reads the first.
    pub signal_pipe: Offset,
}

/// A `pthread_mutex_t` has 40 bytes, but 48 with glibc on aarch64.
// DWARF of 0.22.1 for both machines: struct uv_loop_s, from `wq_async` on.
pub const LONGER_MUTEX: Offset = 8;

/// All wheels from 0.17.0 to 0.23.0: include/uv/unix.h; DWARF, live.
pub const UV_LOOP: UvLoop = UvLoop {
    data: 0,
    handle_queue: 16,
    backend_fd: 64,
    async_loop: 184,
    async_fd: 504,
    timer_heap: 520,
    time: 544,
    signal_pipe: 552,
};

/// From a node of the timer heap to the deadline of its timer in milliseconds.
// include/uv.h, struct uv_timer_s: [ …, heap_node: 3 pointers, timeout: u64 ]
pub const TIMER_NODE_TIMEOUT: Offset = 24;

/// `uvloop.loop.Handle`.
#[expect(missing_docs, reason = "the names are uvloop's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Handle {
    pub cancelled: Offset,
    /// The name of a method written in C, with its class.
    pub meth_name: Offset,
    pub cb_type: Offset,
    pub arg1: Offset,
    /// The positional arguments of a Python callable, a tuple or None.
    pub arg2: Offset,
}

/// 0.17.0 to 0.23.0: uvloop/cbhandles.pxd; DWARF, live. With `cb_type` 1 the Python callable is
/// `arg1`.
pub const HANDLE: Handle = Handle { cancelled: 40, meth_name: 48, cb_type: 56, arg1: 72, arg2: 80 };

/// How many arguments a handle has: `arg1` to `arg4`.
// 0.17.0 to 0.23.0: uvloop/cbhandles.pxd
pub const HANDLE_ARGUMENTS: u64 = 4;

/// `uvloop.loop.UVHandle` and the transports and servers made from it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct UvHandle {
    /// The `uv_handle_t`; null when it is closed.
    pub handle: Offset,
    /// `UVBaseTransport._protocol`.
    pub protocol: Offset,
    /// `UVBaseTransport._waiter`: a future until the connection is made, else None.
    pub waiter: Offset,
    /// `UVStreamServer._server`.
    pub server: Offset,
}

/// 0.17.0, 0.19.0, 0.21.0, 0.22.1, 0.23.0: uvloop/handles/{handle,basetransport,streamserver}.pxd; DWARF, live.
pub const UV_HANDLE: UvHandle = UvHandle { handle: 24, protocol: 128, waiter: 144, server: 136 };

/// `uv_handle_t` of libuv, and what it is the beginning of.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Native {
    /// Points back to the `UVHandle`.
    pub data: Offset,
    /// Points to the `uv_loop_t`.
    pub running_loop: Offset,
    /// Its node in the loop's list.
    pub handle_queue: Offset,
    /// `uv_stream_t.io_watcher.fd`; `uv_tcp_t` and `uv_pipe_t` are streams.
    pub stream_fd: Offset,
    /// `uv_udp_t.io_watcher.fd`.
    pub udp_fd: Offset,
}

/// All wheels from 0.17.0 to 0.23.0: include/uv.h, include/uv/unix.h; DWARF, live.
pub const NATIVE: Native =
    Native { data: 0, running_loop: 8, handle_queue: 32, stream_fd: 184, udp_fd: 176 };

/// `uvloop.loop.UVPoll`.
#[expect(missing_docs, reason = "the names are uvloop's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Poll {
    pub fd: Offset,
    pub reading_handle: Offset,
    pub writing_handle: Offset,
}

/// 0.17.0, 0.19.0, 0.21.0, 0.22.1, 0.23.0: uvloop/handles/poll.pxd; DWARF, live.
pub const POLL: Poll = Poll { fd: 72, reading_handle: 80, writing_handle: 88 };

/// `uvloop.loop.UVProcessTransport`.
#[expect(missing_docs, reason = "the names are uvloop's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Process {
    /// An `int`, or None.
    pub pid: Offset,
    /// A list of futures, or None.
    pub exit_waiters: Offset,
    pub protocol: Offset,
    /// The transports of stdin, stdout and stderr, or None.
    pub pipes: [Offset; 3],
}

/// 0.17.0, 0.19.0, 0.21.0, 0.22.1, 0.23.0: uvloop/handles/process.pxd; DWARF, live.
pub const PROCESS: Process =
    Process { pid: 80, exit_waiters: 288, protocol: 320, pipes: [336, 344, 352] };

/// `uvloop.loop.Server`.
#[expect(missing_docs, reason = "the names are uvloop's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Server {
    /// A list of futures, or None.
    pub waiters: Offset,
    pub serving_forever_fut: Offset,
}

/// 0.17.0, 0.19.0, 0.21.0, 0.22.1, 0.23.0: uvloop/server.pxd; DWARF, live.
pub const SERVER: Server = Server { waiters: 32, serving_forever_fut: 64 };

/// `uvloop.loop.SSLProtocol`.
#[expect(missing_docs, reason = "the names are uvloop's")]
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Tls {
    /// A future until the handshake is done, else None.
    pub waiter: Offset,
    pub transport: Offset,
    pub app_protocol: Offset,
}

/// 0.17.0, 0.19.0, 0.21.0, 0.22.1, 0.23.0: uvloop/sslproto.pxd; DWARF, live.
pub const TLS: Tls = Tls { waiter: 72, transport: 104, app_protocol: 280 };

/// `_ssl_protocol` of `uvloop.loop._SSLProtocolTransport`.
// 0.17.0, 0.19.0, 0.21.0, 0.22.1, 0.23.0: uvloop/sslproto.pxd; DWARF, live.
pub const TLS_TRANSPORT_PROTOCOL: Offset = 24;

/// `uvloop.loop.TimerHandle._when`: a `float`, the deadline in seconds of `CLOCK_MONOTONIC`.
// 0.17.0 to 0.23.0: uvloop/cbhandles.pxd; DWARF, live.
pub const TIMER_HANDLE_WHEN: Offset = 88;
