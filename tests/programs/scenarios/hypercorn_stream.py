"""hypercorn is to stop, and gives an endless stream as long as it was told to."""

import asyncio
import logging
import threading

import hypercorn.asyncio
import hypercorn.config

import stage


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    streams.append(asyncio.current_task())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
        await asyncio.sleep(15)  # culprit


def visit(loop, stop):
    try:
        stage.client(listener.getsockname(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        task = streams[0]
        task.set_name("stream")
        if not stage.healthy:
            loop.call_soon_threadsafe(stop.set)
        stage.when(
            lambda: stop.is_set() != stage.healthy and stage.resting({task: "culprit"})(),
            None
            if stage.healthy
            else lambda: [
                stage.finding("shutdown-stuck", "critical", [task], "culprit", "hypercorn")
            ],
        )
    except BaseException:
        stage.common.die()


async def main():
    stop = asyncio.Event()
    config = hypercorn.config.Config()
    config.bind = ["fd://%d" % listener.fileno()]
    config.graceful_timeout = config.shutdown_timeout = stage.FOREVER
    config.errorlog = logging.getLogger("hypercorn")
    logging.disable(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    threading.Thread(target=visit, args=(loop, stop), daemon=True).start()
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)


listener = stage.socket.create_server(("127.0.0.1", 0))
streams = []
stage.run(main())
