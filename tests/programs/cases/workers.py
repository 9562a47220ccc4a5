"""What the cases share whose server has workers: one of these is held by a call that blocks.

The server is the master's, and its workers import the program again; by a file they say who is held.
"""

import os
import socket
import tempfile
import threading
import time

import case

RECV = {"45", "207"}  # recvfrom of x86_64 and of aarch64
HELD = os.environ.setdefault("HELD", os.path.join(tempfile.gettempdir(), "held-%d" % os.getpid()))
PORT = None


def port():
    """One that is free, for the visit too."""
    global PORT
    PORT = case.free_port()
    return PORT


def hold():
    """A socket on which nothing ever comes, for the call that blocks."""
    left, right = socket.socketpair()
    case.keep(right)
    with open(HELD + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(HELD + ".new", HELD)
    return left


def held():
    """The worker that is."""
    with open(HELD) as file:
        return file.read()


def receives(pid):
    """Whether the main thread of a process does."""
    return case.syscall(int(pid), pid) in RECV


def is_held():
    return os.path.exists(HELD) and receives(held())


def application(call):
    """One of ASGI whose endpoint makes a call."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            call()
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})

    return app


def visit():
    """Asks until one of the workers is held."""

    def ask():
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", PORT))
                break
            except OSError:
                time.sleep(0.02)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        case.keep(connection)
        case.ready_when(is_held, says=lambda: [held()], held_for=1.0)

    threading.Thread(target=ask, daemon=True).start()
