"""aiohttp's run_app has got SIGTERM, and waits for a handler that streams without end."""

import asyncio
import os
import signal
import threading

from aiohttp import web

import stage


async def events(request):
    streams.append((asyncio.get_running_loop(), asyncio.current_task()))
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"data: tick\n\n")
        await asyncio.sleep(15)  # culprit


def visit(address):
    try:
        stage.client(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        loop, task = streams[0]
        task.set_name("stream")
        if not stage.healthy:
            os.kill(os.getpid(), signal.SIGTERM)
        stage.when(
            lambda: stage.runs(loop, "cleanup") != stage.healthy
            and stage.parked(task, "culprit"),
            None
            if stage.healthy
            else lambda: [stage.finding("shutdown-stuck", "critical", [task], "culprit", "aiohttp")],
        )
    except BaseException:
        stage.common.die()


def started(_):
    threading.Thread(target=visit, args=(listener.getsockname(),), daemon=True).start()


listener = stage.socket.create_server(("127.0.0.1", 0))
streams = []
app = web.Application()
app.router.add_get("/", events)
web.run_app(app, sock=listener, print=started, shutdown_timeout=stage.FOREVER)
