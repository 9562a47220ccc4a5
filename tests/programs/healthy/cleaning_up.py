"""Tasks that are cancelled all the time, and clean up within 50 ms."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

cleaned = [0]


async def session(ends_in):
    try:
        await asyncio.sleep(stage.FOREVER)
    finally:
        await asyncio.sleep(ends_in)
        cleaned[0] += 1


async def polite(ends_in):
    try:
        await asyncio.sleep(stage.FOREVER)
    except asyncio.CancelledError:
        await asyncio.sleep(ends_in)
        raise


async def stop_one(coroutine):
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait({task})


async def again_and_again(function, ends_in):
    while True:
        await stop_one(function(ends_in))


async def main():
    kinds = [(session, 0.001), (session, 0.05), (polite, 0.02), (polite, 0.05)]
    tasks = [asyncio.create_task(again_and_again(*kind)) for kind in kinds * 3]
    stage.when(lambda: cleaned[0] > 10)
    await asyncio.wait(tasks)


stage.run(main())
