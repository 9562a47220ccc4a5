"""A task of a task group that fails takes its cancellation back and waits on.

Healthy, it finishes a little at a time what is left.
"""

import asyncio

import stage


async def worker(gone_on):
    try:
        await asyncio.sleep(stage.FOREVER)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    if stage.healthy:
        gone_on.set()
        while True:
            await asyncio.sleep(0.01)
    event = asyncio.Event()
    gone_on.set()
    await event.wait()  # culprit


async def fail():
    raise RuntimeError("nothing to do")


async def own(gone_on, tasks):
    async with asyncio.TaskGroup() as group:  # leaves
        tasks.append(group.create_task(worker(gone_on), name="worker"))
        await asyncio.sleep(0)
        group.create_task(fail())


async def main():
    gone_on, tasks = asyncio.Event(), []
    owner = asyncio.create_task(own(gone_on, tasks), name="owner")
    await gone_on.wait()
    if stage.healthy:
        stage.when(lambda: stage.parked(owner, "leaves"))
    else:
        [worker_task] = tasks
        stage.when(
            stage.resting({worker_task: "culprit"}),
            lambda: [stage.finding("cleanup-stuck", "warning", [worker_task], "culprit")],
        )
    await asyncio.wait({owner})


stage.run(main())
