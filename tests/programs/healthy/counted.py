"""Semaphores that count what is done: tasks release, when they end, what nobody has acquired."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def subscriber(server):
    reader, writer = await asyncio.open_connection(*server)
    await reader.readline()  # reading


async def supervise(done):
    """Starts another one for each that has ended."""
    await done.acquire()  # waiting


async def main():
    done, server = asyncio.Semaphore(0), stage.silent_server()
    places = {}
    for _ in range(3):
        task = asyncio.ensure_future(subscriber(server))
        task.add_done_callback(lambda _: done.release())
        places[task] = "reading"
    places[asyncio.ensure_future(supervise(done))] = "waiting"
    stage.when(stage.resting(places), held_for=stage.STUCK)
    await asyncio.wait(set(places))


stage.run(main())
