"""join() waits for items that were taken from the queue and never marked as done."""

import asyncio

import stage


async def work(queue):
    while True:
        await queue.get()  # idle
        await asyncio.sleep(stage.FOREVER if stage.healthy else 0.001)  # working


async def flush(queue):
    await queue.join()  # culprit


async def main():
    queue = asyncio.Queue()
    for number in range(5):
        queue.put_nowait(number)
    workers = [asyncio.create_task(work(queue), name="work-%d" % n) for n in range(5)]
    joiner = asyncio.create_task(flush(queue), name="flush")
    places = {joiner: "culprit"}
    # In the twin the items are being worked on, however long that takes.
    places.update({worker: "working" if stage.healthy else "idle" for worker in workers})
    code = [] if stage.healthy else ["queue-stalled"]
    stage.when(
        stage.resting(places),
        lambda: [stage.finding(c, "warning", [joiner], "culprit", "join") for c in code],
    )
    await joiner


stage.run(main())
