"""A worker that logs its cancellation and goes on; who cancelled it waits for its end."""

import asyncio

import stage


async def fetch():
    await asyncio.sleep(stage.FOREVER)  # culprit


async def worker():
    while True:
        try:
            await fetch()
        except BaseException:  # eaten
            pass
        if stage.healthy:
            return


async def stop(task):
    task.cancel()
    await asyncio.wait({task})  # manager


async def main():
    if stage.healthy:
        stage.when(lambda: True)
        while True:
            task = asyncio.create_task(worker(), name="worker")
            await asyncio.sleep(0.001)
            await stop(task)
    task = asyncio.create_task(worker(), name="worker")
    await asyncio.sleep(0)
    manager = asyncio.create_task(stop(task), name="manager")
    stage.when(
        stage.resting({manager: "manager", task: "culprit"}),
        lambda: [stage.finding("cancel-swallowed", "warning", [task], ["culprit", "eaten"])],
    )
    await manager


stage.run(main())
