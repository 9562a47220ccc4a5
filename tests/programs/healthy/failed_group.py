"""A service that goes on after a group of tasks in which a child failed, and one that loops so."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

rounds = [0]


async def fails():
    await asyncio.sleep(0.001)
    raise ValueError("bad record")


async def round_of_children():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
    except Exception:
        rounds[0] += 1


async def waiting():
    await round_of_children()
    await asyncio.sleep(stage.FOREVER)  # rests


async def looping():
    while True:
        await round_of_children()
        await asyncio.sleep(0.02)


async def main():
    task = asyncio.create_task(waiting())
    parked = lambda: stage.parked(task, "rests")  # noqa: E731
    stage.when(lambda: rounds[0] > 4 and parked())
    await asyncio.wait([task, asyncio.create_task(looping())])


stage.run(main())
