"""uvicorn has got SIGTERM, and waits for the end of an event stream that has none."""

import asyncio
import os
import signal
import threading
import time

import uvicorn

import stage


async def app(scope, receive, send):
    streams.append((asyncio.get_running_loop(), asyncio.current_task()))
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
        await asyncio.sleep(15)  # culprit


def visit():
    try:
        while not server.started:
            time.sleep(0.001)
        address = server.servers[0].sockets[0].getsockname()
        stage.client(address, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        loop, task = streams[0]
        task.set_name("stream")
        stopping = lambda: stage.runs(loop, "shutdown")
        if not stage.healthy:
            os.kill(os.getpid(), signal.SIGTERM)
        stage.when(
            lambda: stopping() != stage.healthy and stage.parked(task, "culprit"),
            None
            if stage.healthy
            else lambda: [stage.finding("shutdown-stuck", "critical", [task], "culprit", "uvicorn")],
        )
    except BaseException:
        stage.common.die()


streams = []
loop = "uvloop" if stage.options.uvloop else "asyncio"
config = uvicorn.Config(app, port=0, loop=loop, lifespan="off", log_level="critical")
server = uvicorn.Server(config)
threading.Thread(target=visit, name="visitor", daemon=True).start()
server.run()
