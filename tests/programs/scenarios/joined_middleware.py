"""Synchronous code in a thread calls asynchronous code on the loop, which joins this very thread
(asgiref)."""

import asyncio
import threading

from asgiref.sync import async_to_sync, sync_to_async

import stage


async def view():
    return "page"


def middleware():
    workers.append(threading.current_thread())
    while not stage.healthy and not stage.stuck("culprit"):
        pass
    return async_to_sync(view)()  # calls the loop


async def request():
    await sync_to_async(middleware, thread_sensitive=False)()
    await asyncio.sleep(stage.FOREVER)  # at rest


async def close():
    while not workers:
        await asyncio.sleep(0)
    workers[0].join()  # culprit


async def main():
    task = asyncio.create_task(request(), name="request")
    if stage.healthy:
        stage.when(stage.resting({task: "at rest"}))
    else:
        closing = asyncio.create_task(close(), name="closing")
        stage.when(
            lambda: stage.stuck("culprit") and stage.threads_at("calls the loop"),
            lambda: [
                stage.finding("loop-self-deadlock", "critical", [closing], "culprit", "join")
            ],
            also=["loop-blocked"],
            held_for=1.1,
        )
    await asyncio.wait({task})


workers = []
stage.run(main())
