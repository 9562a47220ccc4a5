"""A uvicorn server that nobody asks for anything."""

import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import uvicorn

import stage


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def visit():
    while not server.started:
        time.sleep(0.001)
    address = server.servers[0].sockets[0].getsockname()
    stage.client(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stage.when(stage.asleep)


loop = "uvloop" if stage.options.uvloop else "asyncio"
server = uvicorn.Server(uvicorn.Config(app, port=0, loop=loop, log_level="critical"))
threading.Thread(target=visit, name="visitor", daemon=True).start()
server.run()
