"""Two thousand tasks that wake up together, twice a second."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

woken = [0]


async def wake(start):
    loop = asyncio.get_running_loop()
    while True:
        start += 0.5
        await asyncio.sleep(start - loop.time())
        woken[0] += 1


async def main():
    start = asyncio.get_running_loop().time()
    tasks = [asyncio.create_task(wake(start)) for _ in range(2000)]
    stage.when(lambda: woken[0] > 2000)
    await asyncio.wait(tasks)


stage.run(main())
