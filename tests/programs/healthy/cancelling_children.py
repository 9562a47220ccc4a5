"""Tasks that cancel their children and take that in, as one should: nobody cancelled themselves."""

import asyncio
import contextlib
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def child():
    await asyncio.sleep(stage.FOREVER)


async def parent():
    task = asyncio.create_task(child())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    other = asyncio.create_task(child())
    await asyncio.sleep(0)
    other.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await other
    await asyncio.sleep(stage.FOREVER)  # goes on


async def shielded():
    inner = asyncio.ensure_future(child())
    outer = asyncio.shield(inner)
    outer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outer
    await inner  # waits on


async def main():
    places = {asyncio.create_task(parent()): "goes on", asyncio.create_task(shielded()): "waits on"}
    stage.when(stage.resting(places))
    await asyncio.wait(places)


stage.run(main())
