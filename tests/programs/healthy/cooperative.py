"""A computation that lets others have their turn every few milliseconds, by sleep(0)."""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

parts = [0]
# A thread that waits for the GIL asks for it after this time without a signal; with uvloop, which
# lets go of it for a moment in every turn, one that asks after 5 ms may never come to that.
sys.setswitchinterval(0.001)


async def compute():
    while True:
        until = time.perf_counter() + 0.004
        while time.perf_counter() < until:
            sum(range(100))
        parts[0] += 1
        await asyncio.sleep(0)


async def main():
    task = asyncio.create_task(compute())
    stage.when(lambda: parts[0] > 10)
    await task


stage.run(main())
