"""uvicorn waits for its application to start, which waits for an answer that does not come.

Or, with `--kind endless`, for a task that was meant to go on for as long as the server; with `--kind
called` it calls what that runs. The healthy twins of these are still at it, and will come to an end.
"""

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


async def poll():
    while True:
        await asyncio.sleep(0.05)


async def warm_up():
    for _ in range(10_000):
        await asyncio.sleep(0.05)


async def begin():
    asyncio.current_task().set_name("application")
    tasks.append(asyncio.current_task())
    work = warm_up if stage.healthy else poll
    if stage.kind == "called":
        await work()  # called
    await asyncio.ensure_future(work())  # endless


async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await (begin if stage.kind else connect)()
    await send({"type": "lifespan.startup.complete"})
    await receive()


def watch():
    try:
        while not (server.started if stage.healthy and not stage.kind else tasks):
            time.sleep(0.001)
        if stage.kind:
            expected = lambda: [
                stage.finding("startup-stuck", "warning", tasks, stage.kind, "poll never ends")
            ]
            stage.when(
                lambda: stage.parked(tasks[0], stage.kind),
                None if stage.healthy else expected,
                also=["startup-stuck"] if stage.healthy else [],
            )
        elif stage.healthy:
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
