"""A service that does not end at SIGTERM, in no stage that its framework tells of.

    holding.py server      its main task waits for the connections of an asyncio server to close,
                           and one client stays (3.12 and later wait for it)
    holding.py task        a task that the handler of the signal starts waits for a worker, and the
                           main task for that one to be through
    holding.py pool asyncio|uvloop
                           it closes a pool like asyncpg's, of which a task has a connection
    holding.py websockets [serving]
                           it closes a server of websockets, of which a handler does not end; or
                           waits until that is closed, which nobody does
    holding.py ignoring    it ignores the signal
    holding.py startup     uvicorn's application never comes to the end of its start-up
    holding.py lifespan uvicorn|hypercorn
                           the server waits for its application to end, which never does

Prints READY.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import asyncio
import signal
import socket

import common


async def handle(reader, writer):
    asyncio.current_task().set_name("handler")
    while await reader.readline():
        writer.write(b"ok\n")
        await writer.drain()
    writer.close()


async def serve():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    await reader.readline()
    common.emit_ready({})
    await stop.wait()
    server.close()
    await server.wait_closed()


async def shut_down(worker, stopped):
    await worker
    stopped.set()


async def stop_by_task():
    stopped = asyncio.Event()
    worker = asyncio.ensure_future(asyncio.sleep(common.FOREVER))
    worker.set_name("worker")
    tasks = [worker]

    def handle():
        tasks.append(asyncio.ensure_future(shut_down(worker, stopped)))
        tasks[-1].set_name("stopper")

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, handle)
    await asyncio.sleep(0)
    common.emit_ready({})
    await stopped.wait()


# What of asyncpg's pool matters, by the name of its file.
POOL = """
class Holder:
    __slots__ = "_proxy", "_in_use"

    def __init__(self):
        self._proxy = self._in_use = None

class Pool:
    __slots__ = ("_holders",)

    def __init__(self):
        self._holders = [Holder(), Holder()]

    def acquire(self):
        holder = self._holders[1]
        holder._in_use, holder._proxy = asyncio.get_running_loop().create_future(), object()
        return holder._proxy

    async def close(self):
        await asyncio.gather(*[holder._in_use for holder in self._holders if holder._in_use])
"""


async def borrow(pool):
    connection = pool.acquire()
    await asyncio.sleep(common.FOREVER)
    return connection


async def close_pool_in_use():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    names = {"asyncio": asyncio}
    sys.path.append("/nowhere/site-packages")  # as if it were installed there
    exec(compile(POOL, "/nowhere/site-packages/asyncpg/pool.py", "exec"), names)
    pool = names["Pool"]()
    tasks = [asyncio.ensure_future(borrow(pool)), asyncio.ensure_future(asyncio.sleep(1000))]
    tasks[0].set_name("borrower")
    await asyncio.sleep(0)
    common.emit_ready({})
    await stop.wait()
    await pool.close()


async def handle_socket(connection):
    asyncio.current_task().set_name("handler")
    await connection.recv()
    common.emit_ready({})
    await asyncio.sleep(common.FOREVER)


async def serve_sockets():
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await serve(handle_socket, "127.0.0.1", 0)
    port = next(iter(server.sockets)).getsockname()[1]
    async with connect("ws://127.0.0.1:%d" % port) as connection:
        await connection.send("hello")
        if "serving" not in sys.argv:
            await stop.wait()
            server.close()
        await server.wait_closed()


async def ignore():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    common.emit_ready({})
    await asyncio.Event().wait()


async def migrate():
    common.emit_ready({})
    while True:
        await asyncio.sleep(0.5)


async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await asyncio.ensure_future(migrate())


async def close_pool():
    asyncio.current_task().set_name("application")
    await asyncio.Event().wait()


async def ask(address):
    while True:
        try:
            reader, writer = await asyncio.open_connection(*address)
            break
        except ConnectionError:
            await asyncio.sleep(0.01)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    while await reader.read(1000):
        pass
    writer.close()
    common.emit_ready({})


def served_at(address):
    asking = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            asking.append(asyncio.ensure_future(ask(address)))
            await receive()
            await close_pool()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app


def serve_application(server):
    listener = socket.create_server(("127.0.0.1", 0))
    app = served_at(listener.getsockname())
    if server == "uvicorn":
        import uvicorn

        uvicorn.run(app, fd=listener.fileno(), log_level="critical")
    else:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = ["fd://{}".format(listener.fileno())]
        config.loglevel = "critical"
        asyncio.run(serve(app, config))


common.watchdog()
if sys.argv[1] == "server":
    asyncio.run(serve())
elif sys.argv[1] == "lifespan":
    serve_application(sys.argv[2])
elif sys.argv[1] == "ignoring":
    asyncio.run(ignore())
elif sys.argv[1] == "pool":
    common.run(sys.argv[2], close_pool_in_use())
elif sys.argv[1] == "websockets":
    asyncio.run(serve_sockets())
elif sys.argv[1] == "task":
    asyncio.run(stop_by_task())
else:
    import uvicorn

    uvicorn.run(app, port=0, log_level="critical")
