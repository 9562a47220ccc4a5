"""wait_for has expired, and waits on for a task that does not mind its cancellation."""

import asyncio

import stage


async def fetch():
    inner.append(asyncio.current_task())  # from 3.12 on the caller's own
    while True:
        try:
            await asyncio.sleep(stage.FOREVER)  # culprit
        except asyncio.CancelledError:
            seen.append(1)


async def handler():
    await asyncio.wait_for(fetch(), stage.FOREVER if stage.healthy else 0.05)


async def main():
    task = asyncio.create_task(handler(), name="handler")
    if stage.healthy:
        stage.when(lambda: inner and stage.resting({inner[0]: "culprit"})())
    else:
        stage.when(
            lambda: seen and stage.resting({inner[0]: "culprit"})(),
            lambda: [stage.finding("timeout-overdue", "warning", inner, "culprit")],
            also=["cancel-swallowed"],
        )
    await task


inner = []
seen = []
stage.run(main())
