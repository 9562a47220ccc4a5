"""Five parked tasks, and a callback that blocks the loop.

    blocked.py --kind KIND [--bare] [--loop asyncio|uvloop] [--fifo PATH]

The callback is the step of a task ("blocker"), or with --bare a plain function given to
call_soon. builtin-sleep: call_soon(time.sleep, 3600), no Python frame of its own. vfork: starts a
process that waits for a writer of the FIFO before its exec, until which nothing can wake us. The
other kinds are in `blocking_call`; contended: computes, and another thread does so too.

Prints the truth (see common.py) with more fields: tid; since_monotonic: CLOCK_MONOTONIC right
before the block; since: of the start of the iteration's ready phase, where known; frames: the
thread's live stack, outermost first; task: the blocking task or null; blocking: what blocks, with
the descriptor and what that is (peer, or how its words end). An innermost frame that moves has
lines = [first, last] instead of line and column.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import concurrent.futures
import ctypes
import fcntl
import functools
import http.client
import inspect
import os
import queue
import select
import socket
import struct
import subprocess
import threading
import time

import common
from common import FOREVER, Truth

parser = argparse.ArgumentParser()
parser.add_argument("--kind", default="sleep")
parser.add_argument("--fifo")
parser.add_argument("--bare", action="store_true")
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()
if options.kind == "builtin-sleep":
    options.bare = True

T = Truth(options.loop, "blocked")


async def leaf():
    await asyncio.sleep(FOREVER)  # parked


async def parked():
    await leaf()


def spin(_):
    total = 0
    while True:
        for n in range(1000):
            total += n * n
            total ^= n


# What the truth says of the block, beside its kind.
BLOCKING = {}


def connected():
    """Both ends of a connection on which nothing comes."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    T.keep += [listener, client, server]
    return client, server


def address_of(name):
    return "{}:{}".format(*name)


def says_socket(verb, sock, remote, state="established"):
    """What is true of a wait for the other end of a TCP socket."""
    local, remote = address_of(sock.getsockname()), address_of(remote)
    BLOCKING.update(
        kind="socket",
        description="{} tcp {}".format(verb, remote),
        fd=sock.fileno(),
        peer="tcp {} -> {} {}".format(local, remote, state),
    )


def says(kind, description=None, **more):
    BLOCKING.update(more, kind=kind, description=description)


def blocking_call():
    """The function to call, and its arguments."""
    kind = options.kind
    if kind in ("sleep", "builtin-sleep"):
        says("sleep", "time.sleep")
        return time.sleep, (3600,)
    if kind == "vfork":
        says(None)
        return vfork()
    if kind in ("recv", "poll"):
        client, _ = connected()
        client.settimeout(3600 if kind == "poll" else None)
        says_socket("recv from", client, client.getpeername())
        return client.recv, (10,)
    if kind == "send":
        client, _ = connected()
        client.setblocking(False)
        try:
            while True:
                client.send(bytes(65536))
        except BlockingIOError:
            client.setblocking(True)
        says_socket("send to", client, client.getpeername())
        return client.sendall, (bytes(1 << 24),)
    if kind == "http":
        listener = socket.create_server(("127.0.0.1", 0))
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=3600)
        connection.request("GET", "/")
        T.keep += [listener, connection]
        says_socket("recv from", connection.sock, listener.getsockname())
        return connection.getresponse, ()
    if kind == "accept":
        listener = socket.create_server(("127.0.0.1", 0))
        address = address_of(listener.getsockname())
        words = "accept on tcp " + address, "tcp listening on " + address
        says("socket", words[0], fd=listener.fileno(), peer=words[1])
        return listener.accept, ()
    if kind == "connect":
        # Nobody accepts: after those that fill the queue, the kernel answers no more.
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        T.keep.append(listener)
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
            T.keep.append(other)
        client = socket.socket()
        client.bind(("127.0.0.1", 0))
        says_socket("connect to", client, listener.getsockname(), "connecting")
        return client.connect, (listener.getsockname(),)
    if kind == "connect-unix":
        name = "\0aiospy-test-{}".format(os.getpid())
        listener, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        listener.bind(name)
        listener.listen(0)
        other = socket.socket(socket.AF_UNIX)
        other.connect(name)
        T.keep += [listener, other]
        words = "connect to unix @" + name[1:]
        says("socket", words, fd=client.fileno(), peer="unix socket")
        return client.connect, (name,)
    if kind == "lock":
        lock = threading.Lock()
        lock.acquire()
        says("lock", "a threading lock")
        return lock.acquire, (True,)
    if kind == "lock-timeout":
        lock = threading.Lock()
        lock.acquire()
        says("lock", "a threading lock")
        return lock.acquire, (True, 3600)
    if kind == "condition":
        condition = threading.Condition()
        condition.acquire()
        says("lock", "Condition.wait")
        return condition.wait, (3600,)
    if kind == "event":
        says("lock", "Event.wait")
        return threading.Event().wait, ()
    if kind == "queue":
        says("lock", "Queue.get")
        return queue.Queue().get, ()
    if kind == "join":
        thread = threading.Thread(target=threading.Event().wait, daemon=True)
        thread.start()
        says("lock", "Thread.join")
        return thread.join, ()
    if kind == "future-result":
        says("future-result", "Future.result of a concurrent future")
        return concurrent.futures.Future().result, (3600,)
    if kind == "futures-wait":
        says("future-result", "wait of a concurrent future")
        return concurrent.futures.wait, ([concurrent.futures.Future()],)
    if kind == "pipe":
        reader, writer = os.pipe()
        says("file", "read of a pipe", fd=reader, peer="pipe")
        return os.read, (reader, 10)
    if kind == "fifo":
        # Open for both: there is a writer, who writes nothing.
        fd = os.open(options.fifo, os.O_RDWR)
        says("file", "read of " + options.fifo, fd=fd, peer=options.fifo)
        return os.read, (fd, 10)
    if kind == "open":
        says("file", "open of " + options.fifo, peer=options.fifo)
        return open, (options.fifo,)
    if kind == "flock":
        held, fd = (os.open(options.fifo, os.O_RDWR) for _ in range(2))
        fcntl.flock(held, fcntl.LOCK_EX)
        says("file", "flock of " + options.fifo, fd=fd, peer=options.fifo)
        return fcntl.flock, (fd, fcntl.LOCK_EX)
    if kind == "dns":
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        T.keep.append(server)
        ask_only(*server.getsockname())
        says("dns", "getaddrinfo", peer_ends=" -> " + address_of(server.getsockname()))
        return socket.getaddrinfo, ("silent.example.", 80)
    if kind in ("subprocess", "communicate", "pidfd"):
        # It ends when we do, with its standard input.
        pipes = dict(stdout=subprocess.PIPE) if kind == "communicate" else {}
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, **pipes)
        T.keep.append(child)
        if kind == "communicate":
            T.keep.append(child.stdin)
            child.stdin = None
            says("subprocess", "a subprocess", fd=child.stdout.fileno(), peer="pipe")
            return child.communicate, ()
        with open("/proc/{}/comm".format(child.pid)) as f:
            words = "subprocess {} ({})".format(child.pid, f.read().strip())
        if kind == "pidfd":
            fd, poll = os.pidfd_open(child.pid), select.poll()
            poll.register(fd, select.POLLIN)
            says("subprocess", words, fd=fd, peer="pidfd")
            return poll.poll, ()
        says("subprocess", words, child=child.pid)
        return child.wait, ()
    if kind in ("cpu", "contended"):
        says("cpu")
        return spin, (None,)
    raise SystemExit("no such kind: " + kind)


def ask_only(host, port):
    """Makes the resolver ask one name server, and wait for its answer for an hour."""
    libc = ctypes.CDLL(None)
    libc.__nss_configure_lookup(b"hosts", b"dns")
    libc.__res_init()
    libc.__res_state.restype = ctypes.c_void_p
    # struct __res_state: retrans, retry: int; options: long; nscount: int; nsaddr_list[3]
    state = libc.__res_state()
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port)
    address += socket.inet_aton(host) + bytes(8)
    ctypes.memmove(state, struct.pack("=ii", 3600, 1), 8)
    ctypes.memmove(state + 16, struct.pack("=i", 1) + address, 20)


def vfork():
    libc = ctypes.CDLL(None)
    actions = ctypes.create_string_buffer(1024)
    assert libc.posix_spawn_file_actions_init(actions) == 0
    fifo = os.fsencode(options.fifo)
    assert libc.posix_spawn_file_actions_addopen(actions, 0, fifo, os.O_RDONLY, 0) == 0
    words = (ctypes.c_char_p * 2)(b"true", None)
    T.keep += [libc, actions, words]
    spawn = functools.partial(libc.posix_spawnp, ctypes.byref(ctypes.c_int()), b"true", actions)
    return functools.partial(spawn, None, words), ((ctypes.c_char_p * 1)(None),)


def release():
    """Lets the process go that waits for a writer, once ours is to end."""
    while os.read(0, 4096):
        pass
    os.close(os.open(options.fifo, os.O_WRONLY))
    os._exit(0)


def ready_phase_start(frame):
    """When the iteration began to run its callbacks."""
    if options.loop == "uvloop":
        return asyncio.get_event_loop().time()
    while frame is not None:
        if frame.f_code.co_name == "_run_once":
            return dict(frame.f_locals)["end_time"]
        frame = frame.f_back
    return None


def print_truth(frame):
    frame = sys._getframe(1) if frame is None else frame
    key = None if options.bare else "blocker"
    truth = T.collect(live=[(key, frame)])
    frames = common.describe_thread_frames(frame)
    if options.kind == "builtin-sleep" and options.loop == "asyncio":
        truth["loops"][0]["ready"] -= 1  # the call of time.sleep itself
    if options.kind in ("cpu", "contended"):
        source, first = inspect.getsourcelines(spin)
        described = {
            "function": "spin",
            "file": spin.__code__.co_filename,
            "lines": [first, first + len(source) - 1],
        }
        frames.append(described)
        if key is not None:
            mine = [t for t in truth["tasks"] if t["key"] == key][0]
            mine["frames"].append(described)
        for thread in truth["threads"]:
            if thread["tid"] == threading.get_native_id():
                thread["frames"].append(described)
    truth.update(
        kind=options.kind,
        blocking=BLOCKING,
        bare=options.bare,
        tid=threading.get_native_id(),
        frames=frames,
        task=None if key is None else common.address(T[key]),
        since=ready_phase_start(frame),
        since_monotonic=common.monotonic(),
    )
    common.emit_ready(truth)


def block_inner():
    # One call for both: the frames stand on the same instruction in the truth and afterwards.
    for call, arguments in ((print_truth, (None,)), CALL):
        call(*arguments)


def block():
    try:
        block_inner()
    except BaseException:
        common.die()


async def blocker_inner():
    block()


async def blocker():
    await blocker_inner()


def print_truth_below():
    """The truth for a call without a frame: this function's caller calls it next."""
    print_truth(sys._getframe(1))


def start_blocking():
    loop = asyncio.get_event_loop()
    if T.not_parked(blocking="blocker") is not None:
        loop.call_later(0.001, start_blocking)
        return
    if options.kind == "builtin-sleep":
        loop.call_soon(print_truth_below)
        loop.call_soon(CALL[0], *CALL[1])
    elif options.bare:
        loop.call_soon(block)
    else:
        # Its first step is the next handle.
        T.start("blocker", blocker())


async def main():
    loop = asyncio.get_event_loop()
    T.loop(loop, threading.get_native_id())
    T.adopt("main", on="event")
    T.entries["main"].name = T.name_before_next()
    for n in range(5):
        T.start("parked-{}".format(n), parked(), on="timer", depth=3)
    loop.call_later(0.001, start_blocking)
    await asyncio.Event().wait()  # parked


CALL = blocking_call()
common.watchdog(before=release if options.kind == "vfork" else None)
if options.kind == "contended":
    threading.Thread(target=spin, args=(None,), name="rival", daemon=True).start()
common.run(options.loop, main())
