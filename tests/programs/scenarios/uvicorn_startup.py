"""uvicorn waits for its application to start, which waits for an answer that does not come."""

import asyncio
import threading
import time

import uvicorn

import stage


async def connect():
    asyncio.current_task().set_name("application")
    tasks.append(asyncio.current_task())
    answered = asyncio.Event()
    if stage.healthy:
        answered.set()
    await answered.wait()  # culprit


async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await connect()
    await send({"type": "lifespan.startup.complete"})
    await receive()


def watch():
    try:
        while not (server.started if stage.healthy else tasks):
            time.sleep(0.001)
        if stage.healthy:
            stage.when(lambda: server.started)
        else:
            stage.when(
                lambda: stage.parked(tasks[0], "culprit"),
                lambda: [stage.finding("startup-stuck", "info", tasks, "culprit")],
            )
    except BaseException:
        stage.common.die()


tasks = []
loop = "uvloop" if stage.options.uvloop else "asyncio"
config = uvicorn.Config(app, port=0, loop=loop, lifespan="on", log_level="critical")
server = uvicorn.Server(config)
threading.Thread(target=watch, name="watcher", daemon=True).start()
server.run()
