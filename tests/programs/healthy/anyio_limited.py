"""Calls in threads that wait for each other at a limiter of anyio, which is what that is for."""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import anyio
import anyio.to_thread

import stage

done = [0]


def job():
    time.sleep(0.002)
    done[0] += 1


async def offload(limiter):
    while True:
        await anyio.to_thread.run_sync(job, limiter=limiter)


async def use(limiter):
    while True:
        async with limiter:
            await asyncio.sleep(0.002)
        await asyncio.sleep(0)


async def main():
    limiter, shared = anyio.CapacityLimiter(2), anyio.CapacityLimiter(2)
    tasks = [asyncio.create_task(offload(limiter)) for _ in range(7)]
    # Tokens for calls in threads and for others.
    tasks += [asyncio.create_task(offload(shared)) for _ in range(3)]
    tasks += [asyncio.create_task(use(shared)) for _ in range(3)]
    # All threads are at work, and calls wait: both are meant.
    stage.when(lambda: done[0] > 20, also=["executor-saturated"])
    await asyncio.wait(tasks)


stage.run(main())
