"""Producers wait on a full queue, whose only consumer has died."""

import asyncio

import stage


async def produce(queue):
    while True:
        await queue.put("an item")  # culprit


async def consume(queue):
    while True:
        item = await queue.get()
        await asyncio.sleep(0.001)
        if not stage.healthy:
            int(item)
        queue.task_done()


async def main():
    queue = asyncio.Queue(10)
    producers = [asyncio.create_task(produce(queue), name="produce-%d" % n) for n in range(3)]
    consumer = asyncio.create_task(consume(queue), name="consume")
    if stage.healthy:
        stage.when(queue.full, also=["queue-stalled"])  # It is full, and nobody takes from it.
        await asyncio.wait(producers)
    parked = stage.resting({task: "culprit" for task in producers})
    stage.when(
        lambda: consumer.done() and parked(),
        lambda: [stage.finding("queue-stalled", "warning", producers, "culprit", "full")],
        also=["exception-unretrieved"],
        waiting=lambda: [stage.waits(task, "queue") for task in producers],
    )
    await asyncio.wait(producers)
    del consumer


stage.run(main())
