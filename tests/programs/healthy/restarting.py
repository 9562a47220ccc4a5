"""Event loops that come and go, each with tasks, generators and jobs to be ended in due form."""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

ended = [0]


async def session():
    try:
        await asyncio.sleep(stage.FOREVER)
    finally:
        await asyncio.sleep(0.02)


async def rows():
    try:
        while True:
            yield 1
    finally:
        await asyncio.sleep(0.02)


async def main():
    tasks = [asyncio.create_task(session()) for _ in range(3)]
    generator = rows()
    kept[:] = [generator, tasks]
    async for _ in generator:
        break
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.02)
    await asyncio.sleep(0.01)
    ended[0] += 1


kept = []
# Each run ends by itself, and at some looks one is about to.
ENDING = ["asyncgen-open", "cleanup-stuck", "executor-job-stuck", "shutdown-stuck"]
stage.when(lambda: ended[0] > 2, also=ENDING)
while True:
    stage.run(main())
