"""Permits that timers and callbacks give back, for tasks that do not have them themselves."""

import asyncio
import functools
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def waits(thing):
    async with thing:  # waits
        await asyncio.sleep(stage.FOREVER)


async def request():
    while True:
        await asyncio.sleep(0.005)


class Gate:
    """A lock that opens again some time after it was passed."""

    def __init__(self):
        self.lock = asyncio.Lock()

    async def open_later(self):
        await self.lock.acquire()
        asyncio.get_event_loop().call_later(stage.FOREVER, self.open)

    def open(self):
        self.lock.release()


async def main():
    gate, lent, limit, bounded = Gate(), asyncio.Lock(), asyncio.Semaphore(1), asyncio.Lock()
    await gate.open_later()
    await lent.acquire()
    task = asyncio.ensure_future(request())
    task.add_done_callback(lambda _: lent.release())
    await limit.acquire()
    asyncio.get_event_loop().call_later(stage.FOREVER, limit.release)
    await bounded.acquire()
    timer = functools.partial(asyncio.Lock.release, bounded)
    asyncio.get_event_loop().call_later(stage.FOREVER, timer)
    things = [gate.lock, lent, limit, bounded]
    del timer
    tasks = {asyncio.ensure_future(waits(thing)): "waits" for thing in things}
    stage.when(stage.resting(tasks), also=["lock-convoy"])  # by the task, for a moment each time
    await asyncio.wait({task, *tasks})


stage.run(main())
