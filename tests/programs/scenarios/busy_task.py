"""A task that asks again and again, with sleep(0), whether something has happened."""

import asyncio

import stage


async def until(flag):
    # On one line: it may be seen at either half.
    while not flag: await asyncio.sleep(0)  # culprit


async def main():
    task = asyncio.create_task(until([]), name="poller")
    started = asyncio.create_task(asyncio.sleep(0.01))
    stage.when(
        lambda: started.done(),
        lambda: [stage.finding("busy-spin", "warning", [task], "culprit")],
    )
    await task


stage.run(main())
