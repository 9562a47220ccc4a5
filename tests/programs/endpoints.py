"""Tasks that wait for descriptors and processes, each known by construction.

`endpoints.py [--loop asyncio|uvloop]`; the truth is {"pid", "loop", "tasks": [{"id", "key", "fd",
"direction", "medium", "tls", "pid", "by_future", "by_frame"}]}. "by_future" says whether what the
task is parked on has to be found among the loop's endpoints, "by_frame" whether a frame of its
chain tells: true, false (it must not), or absent where neither is asked for.
"""

import argparse
import asyncio
import collections
import itertools
import os
import socket
import sys
import tempfile
import threading

import common
from certificate import client_context, server_context

TOO_MUCH = b"x" * (8 * 1024 * 1024)  # more than any socket takes

options = argparse.ArgumentParser()
options.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
options = options.parse_args()
ON_UVLOOP = options.loop == "uvloop"

waiting = []
kept = []


def wait(key, coro, fd, direction, medium, **more):
    """Starts a task that waits for `fd`."""
    task = asyncio.ensure_future(coro)
    waiting.append((task, dict(key=key, fd=fd, direction=direction, medium=medium, **more)))
    return task


def pair(**more):
    ends = socket.socketpair(**more)
    for end in ends:
        end.setblocking(False)
    kept.extend(ends)
    return ends


def fill(sock):
    """Sends until no more goes in."""
    try:
        while True:
            sock.send(TOO_MUCH)
    except BlockingIOError:
        pass


def fd_of(writer):
    return writer.get_extra_info("socket").fileno()


async def connected():
    """Two streams, one at each end."""
    a, b = pair()
    first = await asyncio.open_connection(sock=a)
    kept.append(first)
    return first, (a, b)


def open_sockets():
    def is_socket(fd):
        try:
            return os.readlink("/proc/self/fd/" + fd).startswith("socket:")
        except OSError:
            return False  # the descriptor of the listing itself

    return {int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd)}


async def streams():
    (reader, writer), (a, _) = await connected()
    wait("read", reader.read(10), a.fileno(), "Read", "Socket", by_future=True, by_frame=True)

    (_, writer), (a, _) = await connected()
    writer.write(TOO_MUCH)
    wait("drain", writer.drain(), a.fileno(), "Write", "Socket", by_future=True, by_frame=True)

    (_, writer), (a, _) = await connected()
    writer.write(TOO_MUCH)
    writer.close()
    wait(
        "wait_closed", writer.wait_closed(), a.fileno(), "Close", "Socket",
        by_future=True, by_frame=True,
    )

    # Full of what nobody takes: reading is paused, and it waits to write all the same.
    (reader, writer), (a, _) = await connected()
    writer.transport.pause_reading()
    writer.write(TOO_MUCH)
    wait("paused", writer.drain(), a.fileno(), "Write", "Socket", by_future=True, by_frame=True)


async def sockets():
    loop = asyncio.get_running_loop()
    how = dict(by_future=True, by_frame=not ON_UVLOOP)
    a, _ = pair()
    wait("sock_recv", loop.sock_recv(a, 1), a.fileno(), "Read", "Socket", **how)
    a, _ = pair()
    into = bytearray(10)
    kept.append(into)
    wait("sock_recv_into", loop.sock_recv_into(a, into), a.fileno(), "Read", "Socket", **how)
    a, _ = pair()
    wait("sock_sendall", loop.sock_sendall(a, TOO_MUCH), a.fileno(), "Write", "Socket", **how)
    if sys.version_info >= (3, 11) and not ON_UVLOOP:
        a, _ = pair(type=socket.SOCK_DGRAM)
        wait("sock_recvfrom", loop.sock_recvfrom(a, 1), a.fileno(), "Read", "Socket", **how)

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    kept.append(listener)
    fd = listener.fileno()
    wait("sock_accept", loop.sock_accept(listener), fd, "Accept", "Listener", **how)

    # The queue of a listener is full, and one more wants in.
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    kept.append(full)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        kept.append(filler)
    last = socket.socket()
    last.setblocking(False)
    kept.append(last)
    connecting = loop.sock_connect(last, full.getsockname())
    wait("sock_connect", connecting, last.fileno(), "Connect", "Socket", **how)


    opening = asyncio.open_connection(*full.getsockname())
    # Its socket is made in the task's first step, and by then the newest.
    task = wait("opening", opening, None, "Connect", "Socket", **how)
    before = open_sockets()
    while not (open_sockets() - before):
        await asyncio.sleep(0.001)
    (waiting[-1][1]["fd"],) = open_sockets() - before
    assert not task.done()


async def servers():
    async def serve(reader, writer):
        kept.append((reader, writer))
        task = asyncio.current_task()
        truth = dict(key="server side", fd=fd_of(writer), direction="Read", medium="Socket")
        waiting.append((task, dict(truth, by_future=True, by_frame=True)))
        await reader.read(10)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    kept.append(server)
    listener = server.sockets[0]
    fd = listener.fileno()
    how = dict(by_future=True, by_frame=not ON_UVLOOP)
    wait("serve_forever", server.serve_forever(), fd, "Accept", "Listener", **how)
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    kept.append(writer)
    wait("tcp", reader.readline(), fd_of(writer), "Read", "Socket", by_future=True, by_frame=True)

    idle = await asyncio.start_server(serve, "127.0.0.1", 0)
    kept.append(idle)
    fd = idle.sockets[0].fileno()
    wait("server closed", idle.wait_closed(), fd, "Close", "Listener", **how)

    path = os.path.join(kept[0].name, "socket")
    kept.append(await asyncio.start_unix_server(serve, path))
    reader, writer = await asyncio.open_unix_connection(path)
    kept.append(writer)
    fd = fd_of(writer)
    wait("unix", reader.readexactly(5), fd, "Read", "Socket", by_future=True, by_frame=True)


async def tls():
    async def serve(reader, writer):
        kept.append((reader, writer))

    listener = socket.create_server(("127.0.0.1", 0))
    # Connections inherit it: the kernel takes little, so that what is written stays here.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    server = await asyncio.start_server(serve, sock=listener, ssl=server_context())
    kept.append(server)
    address = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(*address, ssl=client_context())
    kept.append(writer)
    fd = fd_of(writer)
    how = dict(tls=True, by_future=True)
    wait("tls read", reader.read(10), fd, "Read", "Socket", by_frame=True, **how)
    reader, writer = await asyncio.open_connection(*address, ssl=client_context())
    kept.append((reader, writer))
    # What fills the socket, and what then fills the layer above it.
    fd = fd_of(writer)
    for _ in range(3):
        writer.write(TOO_MUCH)
    wait("tls drain", writer.drain(), fd, "Write", "Socket", by_frame=True, **how)

    # A peer that never answers.
    a, _ = pair()
    opening = asyncio.open_connection(sock=a, ssl=client_context(), server_hostname="nobody")
    wait("handshake", opening, a.fileno(), "Connect", "Socket", by_frame=not ON_UVLOOP, **how)


async def pipes():
    loop = asyncio.get_running_loop()
    how = dict(by_future=True, by_frame=True)
    r, w = os.pipe()
    kept.append(os.fdopen(w, "wb", 0))
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    kept.append(await loop.connect_read_pipe(lambda: protocol, os.fdopen(r, "rb", 0)))
    wait("pipe", reader.read(10), r, "Read", "Pipe", **how)

    r, w = os.pipe()
    kept.append(os.fdopen(r, "rb", 0))
    protocol = asyncio.streams.FlowControlMixin()
    protocol._get_close_waiter = lambda stream: None
    transport, _ = await loop.connect_write_pipe(lambda: protocol, os.fdopen(w, "wb", 0))
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    kept.append(writer)
    writer.write(TOO_MUCH)
    # The protocol does not know its transport: only the writer's frame does.
    wait("pipe drain", writer.drain(), w, "Write", "Pipe", **how)


async def processes():
    loop = asyncio.get_running_loop()
    # It ends when this program does: at the end of a pipe that only this program can write to.
    lives, life = os.pipe()
    kept.append(life)
    child = "import os; os.read({}, 1)".format(lives)
    pipe = asyncio.subprocess.PIPE
    command = dict(stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=[lives])
    before = open_sockets()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", child, **command)
    kept.append(process)
    how = dict(by_future=True, by_frame=True)

    def fd(number):
        if ON_UVLOOP:
            # It tells nobody; it makes them in this order.
            return sorted(open_sockets() - before)[number]
        transport = process._transport.get_pipe_transport(number)
        return transport.get_extra_info("pipe").fileno()

    pid = process.pid
    wait("process", process.wait(), None, "Exit", "Process", pid=pid, **how)
    wait("stdout", process.stdout.read(), fd(1), "Read", "Pipe", pid=pid, **how)
    wait("stderr", process.stderr.readline(), fd(2), "Read", "Pipe", pid=pid, **how)
    process.stdin.write(TOO_MUCH)
    wait("stdin", process.stdin.drain(), fd(0), "Write", "Pipe", pid=pid, **how)

    command = dict(stdin=asyncio.subprocess.DEVNULL, pass_fds=[lives])
    alone = await asyncio.create_subprocess_exec(sys.executable, "-c", child, **command)
    kept.append(alone)
    # Without a pipe only a watched pidfd leads to the process; before 3.12 a thread waits for it.
    keys = [] if ON_UVLOOP else loop._selector.get_map().values()
    is_watched = any("_do_wait" in repr(key.data[0]) for key in keys) or ON_UVLOOP
    how = dict(by_future=is_watched, by_frame=True)
    wait("process alone", alone.wait(), None, "Exit", "Process", pid=alone.pid, **how)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, peer):
        self.received.set_result(data)


class Stream:
    def __init__(self):
        self._waiter = asyncio.get_running_loop().create_future()


class Messages:
    def __init__(self):
        self.frames = Frames()


class Frames:
    def __init__(self):
        self.get_waiter = asyncio.get_running_loop().create_future()


class Native(itertools.repeat, asyncio.Protocol):
    """Keeps a future where only C code finds it, as asyncpg's protocol does."""


class Library(asyncio.Protocol):
    """As libraries do it: futures under names of their own."""

    def __init__(self, hub):
        future = asyncio.get_running_loop().create_future
        self._waiter = future()
        self.connection_lost_waiter = future()
        self.drain_waiters = [future()]
        self._recv_futures = collections.deque([(future(), "recv")])
        self.read_event = asyncio.Event()
        self._payload = Stream()
        self.messages = Messages()
        self.hub = hub
        self._task_handler = asyncio.ensure_future(asyncio.sleep(common.FOREVER))


async def plain(future):
    await future


async def libraries():
    loop = asyncio.get_running_loop()
    a, _ = pair(type=socket.SOCK_DGRAM)
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, sock=a)
    kept.append(transport)
    how = dict(by_future=True, by_frame=False)
    wait("datagram", plain(protocol.received), a.fileno(), "Read", "Datagram", **how)

    a, _ = pair()
    future = loop.create_future()
    _, native = await loop.create_connection(lambda: Native(future), sock=a)
    kept.append(native)
    wait("native", plain(future), a.fileno(), "Read", "Socket", **how)

    hub = Stream()
    for key in ["library", "library again"]:
        a, _ = pair()
        _, library = await loop.create_connection(lambda: Library(hub), sock=a)
        kept.append(library)

        def waits(name, awaitable, direction):
            fd = a.fileno()
            wait(key + name, plain(awaitable), fd, direction, "Socket", **how)

        waits("._waiter", library._waiter, "Read")
        waits(".connection_lost_waiter", library.connection_lost_waiter, "Close")
        waits(".drain_waiters", library.drain_waiters[0], "Write")
        waits("._recv_futures", library._recv_futures[0][0], "Read")
        waits(".read_event", library.read_event.wait(), "Read")
        waits("._payload._waiter", library._payload._waiter, "Read")
        waits(".messages.frames.get_waiter", library.messages.frames.get_waiter, "Read")
        waits(" shielded", asyncio.shield(library._waiter), "Read")
        timed = asyncio.wait_for(asyncio.shield(library.drain_waiters[0]), common.FOREVER)
        waits(" timed", timed, "Write")
        no = dict(by_future=False, by_frame=False)
        # A task is nothing that a connection wakes.
        wait(key + "._task_handler", plain(library._task_handler), None, None, None, **no)
    # What two connections lead to belongs to neither.
    wait("hub", plain(hub._waiter), None, None, None, by_future=False, by_frame=False)


class Owner:
    """Watches a descriptor of its own, as aiopg does."""

    def __init__(self):
        self._waiter = asyncio.get_running_loop().create_future()

    def ready(self):
        self._waiter.set_result(None)

    def idle(self):
        raise AssertionError("there is room to write")


async def watchers():
    loop = asyncio.get_running_loop()
    how = dict(by_future=True, by_frame=False)
    a, _ = pair()
    owner = Owner()
    loop.add_reader(a.fileno(), owner.ready)
    loop.add_writer(a.fileno(), owner.idle)
    # Its peer takes nothing, so that there is never room to write.
    fill(a)
    wait("own method", plain(owner._waiter), a.fileno(), "Read", "Socket", **how)

    a, _ = pair()
    event = asyncio.Event()

    def wake():
        event.set()

    loop.add_reader(a.fileno(), wake)
    wait("closure", event.wait(), a.fileno(), "Read", "Socket", **how)

    a, _ = pair()
    future = loop.create_future()
    loop.add_reader(a.fileno(), future.set_result, None)
    wait("future's method", plain(future), a.fileno(), "Read", "Socket", **how)

    future = loop.create_future()
    kept.append(future)
    wait("nothing", plain(future), None, None, None, by_future=False, by_frame=False)


async def main():
    kept.append(tempfile.TemporaryDirectory())
    for start in [streams, sockets, servers, tls, pipes, processes, libraries, watchers]:
        await start()
    give_up = common.monotonic() + common.GIVE_UP

    def is_parked(task):
        return task._fut_waiter is not None and not task._fut_waiter.done()

    while not all(is_parked(task) for task, _ in waiting):
        late = [truth["key"] for task, truth in waiting if not is_parked(task)]
        assert common.monotonic() < give_up, late
        await asyncio.sleep(0.001)
    truth = {
        "pid": os.getpid(),
        "loop": common.address(asyncio.get_running_loop()),
        "tasks": [dict(truth, id=common.address(task)) for task, truth in waiting],
    }
    kept[0].cleanup()
    tid = threading.get_native_id()
    common.watchdog(lambda: common.emit_ready_when_polling(tid, truth))
    await asyncio.get_running_loop().create_future()


common.run(options.loop, main())
