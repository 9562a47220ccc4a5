"""What the shops share that are built upon a framework: six requests for orders, of which one holds
a lock while it waits for a stock that never answers. Who is to be named: the route, the holder's
line, the silent peer.
"""

import asyncio
import socket

import case

STOCK = case.silent_server()
REQUESTS = 6
PORT = case.free_port()
_lock = None
_asked = []


def lock():
    """The one of the loop that runs: before 3.10 it belongs to the loop that made it."""
    global _lock
    if _lock is None:
        _lock = asyncio.Lock()
    return _lock


async def open_stock():
    """A connection to it."""
    reader, writer = await asyncio.open_connection(*STOCK[:2])
    _asked.append(writer)
    return reader, writer


def is_stuck():
    """Seen by the lock: some frameworks have coroutines that nobody can look into from Python."""
    return bool(_asked) and len(_lock._waiters or ()) == REQUESTS - 1 and case.asleep()


async def come(many=REQUESTS):
    """So many requests come once the server listens."""
    connections = []
    while len(connections) < many:
        try:
            connections.append(socket.create_connection(("127.0.0.1", PORT)))
        except OSError:
            await asyncio.sleep(0.02)
    for number, connection in enumerate(connections):
        path = "/orders/%d?token=SECRET" % number
        head = "GET %s HTTP/1.1\r\nHost: x\r\nCookie: s=SECRET\r\n\r\n" % path
        connection.sendall(head.encode())
    case.keep(connections)


def ready():
    """READY when all are stuck."""
    case.ready_when(is_stuck, says=lambda: [case.peer(STOCK)])


def on_uvicorn(app):
    """The application, served by uvicorn."""
    import uvicorn

    config = uvicorn.Config(app, port=PORT, log_level="error")
    return asyncio.ensure_future(uvicorn.Server(config).serve())


async def stay_stuck(serving):
    """The requests come, and the server serves on."""
    await come()
    ready()
    await serving
