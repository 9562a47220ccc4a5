"""Jobs of an executor that come and go, and one thread that reads from a queue by design."""

import asyncio
import os
import queue
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

done = [0]


def job():
    time.sleep(0.002)
    done[0] += 1


async def worker():
    while True:
        await asyncio.get_running_loop().run_in_executor(None, job)


async def consumer(inbox):
    while True:
        await asyncio.get_running_loop().run_in_executor(None, inbox.get)  # idle


async def main():
    inbox = queue.Queue()
    reading = asyncio.create_task(consumer(inbox))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(worker()) for _ in range(2)]
    # One job does stand where it is.
    stage.when(lambda: done[0] > 10, also=["executor-job-stuck"])
    await asyncio.wait([reading] + tasks)


stage.run(main())
