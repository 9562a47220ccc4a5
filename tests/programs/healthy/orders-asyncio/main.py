"""A program whose folder and files are called like asyncio's."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "scenarios"))
sys.path.insert(0, HERE)

import locks
import stage
import tasks


async def order(lock):
    async with lock:  # order
        pass


async def poll(event):
    await tasks.wait_for(event)  # poll


async def collect():
    await tasks.wait({1, 2})  # collect


async def main():
    places = {order(locks.Lock()): "order", order(locks.Lock()): "order"}
    places.update({poll(asyncio.Event()): "poll", collect(): "collect"})
    started = {asyncio.ensure_future(coro): mark for coro, mark in places.items()}
    stage.when(
        stage.resting(started),
        waiting=lambda: [
            stage.waits(task, "timer" if mark != "order" else "future")
            for task, mark in started.items()
        ],
    )
    await asyncio.wait(started)


stage.run(main())
