"""A hypercorn server that nobody asks for anything."""

import asyncio
import logging
import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import hypercorn.asyncio
import hypercorn.config

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
    stage.client(listener.getsockname(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stage.when(stage.asleep)


async def main():
    config = hypercorn.config.Config()
    config.bind = ["fd://%d" % listener.fileno()]
    config.errorlog = logging.getLogger("hypercorn")
    logging.disable(logging.CRITICAL)
    threading.Thread(target=visit, daemon=True).start()
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=asyncio.Event().wait)


listener = stage.socket.create_server(("127.0.0.1", 0))
stage.run(main())
