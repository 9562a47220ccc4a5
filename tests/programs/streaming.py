"""uvicorn with an event stream that a client reads, to be stopped from outside.

Prints READY when the client has read of the stream, with the id of the stream's task. When uvicorn
begins its shutdown, and when it is through with it, it prints a line of JSON, {"shutdown": began}
and {"closed": ended}, in seconds since the epoch. After a line "close" on its standard input the
client closes its connection.
"""

import asyncio
import os
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common
import uvicorn


class Server(uvicorn.Server):
    async def shutdown(self, sockets=None):
        common.emit({"shutdown": time.time()})
        await super().shutdown(sockets)
        common.emit({"closed": time.time()})


async def until_gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


async def app(scope, receive, send):
    streams.append(asyncio.current_task())
    asyncio.current_task().set_name("stream")
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(until_gone(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
        await asyncio.wait({gone}, timeout=15)


def visit():
    try:
        while not server.started:
            time.sleep(0.001)
        client.connect(server.servers[0].sockets[0].getsockname())
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1000)
        common.emit_ready({"stream": hex(id(streams[0]))})
    except BaseException:
        common.die()


def on_line(line):
    if line == "close":
        client.close()


streams = []
client = socket.socket()
config = uvicorn.Config(app, port=0, loop="asyncio", lifespan="off", log_level="critical")
server = Server(config)
common.watchdog(on_line=on_line)
threading.Thread(target=visit, name="visitor", daemon=True).start()
server.run()
