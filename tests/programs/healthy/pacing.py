"""Tasks that share one connection, and keep a pause after each use: each turn takes a while."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

turns = [0]


async def use(lock):
    while True:
        async with lock:
            turns[0] += 1
            await asyncio.sleep(0.1)


async def main():
    lock = asyncio.Lock()
    tasks = [asyncio.create_task(use(lock)) for _ in range(10)]
    stage.when(lambda: turns[0] > 1)
    await asyncio.wait(tasks)


stage.run(main())
