"""A task waits for a future that nothing left in the process can resolve."""

import asyncio

import stage


async def connect(pending):
    ready = asyncio.get_running_loop().create_future()
    pending["connection"] = ready
    return await ready  # culprit


async def main():
    pending = {}
    task = asyncio.create_task(connect(pending), name="connect")
    await asyncio.sleep(0)
    if stage.healthy:  # some callback, some day
        asyncio.get_running_loop().call_later(
            stage.FOREVER, pending.pop("connection").set_result, None
        )
        stage.when(stage.resting({task: "culprit"}))
    else:
        pending.clear()
        stage.when(
            stage.resting({task: "culprit"}),
            lambda: [stage.finding("orphan-wait", "warning", [task], "culprit")],
            waiting=lambda: [stage.waits(task, "future")],
        )
    await task


stage.run(main())
