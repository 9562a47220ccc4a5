"""A semaphore as a rate limit: a timer gives back what a task took that may have ended since."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

sent = [0]


async def send(limit):
    await limit.acquire()
    asyncio.get_running_loop().call_later(0.5, limit.release)
    sent[0] += 1


async def main():
    limit = asyncio.Semaphore(5)
    stage.when(lambda: sent[0] > 3)
    while True:
        await asyncio.gather(*[send(limit) for _ in range(20)])


stage.run(main())
