"""Tasks that have failed, whose exceptions will be looked at when the others have ended."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def fails():
    raise ValueError("bad record")


async def lasts():
    await asyncio.sleep(stage.FOREVER)


async def by_gather():
    await asyncio.gather(fails(), lasts(), return_exceptions=True)  # gathers


async def by_wait():
    tasks = {asyncio.ensure_future(fails()), asyncio.ensure_future(lasts())}
    done, _ = await asyncio.wait(tasks)  # waits
    for task in done:
        print(task.exception())


async def retrieved():
    task = asyncio.ensure_future(fails())
    await asyncio.wait({task})
    assert task.exception()
    await asyncio.sleep(stage.FOREVER)  # keeps


async def main():
    places = {by_gather: "gathers", by_wait: "waits", retrieved: "keeps"}
    places = {asyncio.create_task(function()): mark for function, mark in places.items()}
    stage.when(stage.resting(places))
    await asyncio.wait(places)


stage.run(main())
