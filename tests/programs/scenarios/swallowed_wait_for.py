"""Before Python 3.12 wait_for drops a cancellation that comes together with its result."""

import asyncio

import stage


async def worker(inbox):
    while True:
        await asyncio.wait_for(inbox[0], stage.FOREVER)  # culprit
        inbox[0] = asyncio.get_running_loop().create_future()


async def main():
    inbox = [asyncio.get_running_loop().create_future()]
    task = asyncio.create_task(worker(inbox), name="worker")
    await asyncio.sleep(0)
    parked = stage.resting({task: "culprit"})
    stage.when(
        lambda: stage.within("_cancel_all_tasks") and parked(),
        lambda: [
            stage.finding("shutdown-stuck", "critical", [task], kind="cancel-all"),
            stage.finding("cancel-swallowed", "critical", [task], "culprit"),
        ],
    )
    inbox[0].set_result("the last one")


asyncio.run(main())
