"""A full queue with a slow consumer that is alive: its producers are meant to wait."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def produce(queue):
    while True:
        await queue.put("an item")  # full


async def consume(queue):
    while True:
        await queue.get()
        await asyncio.sleep(3)
        queue.task_done()


async def main():
    queue = asyncio.Queue(5)
    producers = [asyncio.create_task(produce(queue)) for _ in range(3)]
    consumer = asyncio.create_task(consume(queue))
    full = stage.resting({producer: "full" for producer in producers})
    stage.when(full, also=["queue-stalled"])  # It is full, and nobody takes from it for a while.
    await asyncio.wait([consumer] + producers)


stage.run(main())
