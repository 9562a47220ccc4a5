"""A consumer that takes its cancellation for one more error, when asyncio.run shuts down."""

import asyncio

import stage


async def consumer(queue):
    while True:
        try:
            await queue.get()  # culprit
        except asyncio.CancelledError:  # eaten
            continue


async def main():
    task = asyncio.create_task(consumer(asyncio.Queue()), name="consumer")
    await asyncio.sleep(0)
    parked = stage.resting({task: "culprit"})
    stage.when(
        lambda: stage.within("_cancel_all_tasks") and parked(),
        lambda: [
            stage.finding("shutdown-stuck", "critical", [task], kind="cancel-all"),
            stage.finding("cancel-swallowed", "critical", [task], ["culprit", "eaten"]),
        ],
    )


asyncio.run(main())
