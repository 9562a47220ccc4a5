"""An asynchronous retry that sleeps the synchronous way between its attempts."""

import asyncio
import time

import stage


async def fetch():
    await asyncio.sleep(0)
    raise ConnectionError("refused")


async def fetch_with_retry():
    for attempt in range(5):
        try:
            return await fetch()
        except ConnectionError:
            if stage.healthy:
                await asyncio.sleep(100 * 2**attempt)  # parked
            else:
                time.sleep(100 * 2**attempt)  # culprit


async def main():
    task = asyncio.create_task(fetch_with_retry(), name="retry")
    if stage.healthy:
        stage.when(stage.resting({task: "parked"}))
    else:
        stage.when(
            lambda: stage.stuck("culprit"),
            lambda: [stage.finding("loop-blocked", "critical", [task], "culprit", "sleep")],
            held_for=1.1,
        )
    await task


stage.run(main())
