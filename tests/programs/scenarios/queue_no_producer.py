"""Consumers wait for a queue whose only producer has come to its end, without telling them."""

import asyncio

import stage


async def produce(queue):
    for number in range(10):
        await queue.put(number)


async def consume(queue):
    while True:
        await queue.get()  # culprit
        queue.task_done()


async def main():
    queue = asyncio.Queue(3)
    producer = asyncio.create_task(produce(queue), name="produce")
    consumers = [asyncio.create_task(consume(queue), name="consume-%d" % n) for n in range(3)]
    parked = stage.resting({task: "culprit" for task in consumers})
    stage.when(
        lambda: producer.done() and parked(),
        lambda: [stage.finding("queue-stalled", "warning", consumers, "culprit")],
        also=["orphan-wait"],
    )
    await asyncio.gather(producer, *consumers)


stage.run(main())
