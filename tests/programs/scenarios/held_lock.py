"""A threading.Lock is held by a suspended task, and its own loop's thread waits for it."""

import asyncio
import threading

import stage

lock = threading.Lock()


async def holder():
    while True:
        if stage.healthy:
            with lock:
                pass
            await asyncio.sleep(0.001)
            continue
        with lock:
            await asyncio.sleep(0.01)  # holds


async def taker():
    while True:
        await asyncio.sleep(0.001)
        with lock:  # takes
            pass


async def main():
    tasks = [asyncio.create_task(f(), name=f.__name__) for f in (holder, taker)]
    if stage.healthy:
        stage.when(lambda: True)
    else:
        stage.when(
            lambda: stage.stuck("takes"),
            lambda: [
                stage.finding("loop-self-deadlock", "critical", tasks, ["holds", "takes"], "lock")
            ],
            also=["loop-blocked"],
            held_for=1.1,
        )
    await asyncio.wait(tasks)


stage.run(main())
