"""asyncio.timeout has expired, and its body took the cancellation for something else (3.11+)."""

import asyncio

import stage


async def fetch():
    while True:
        try:
            await asyncio.sleep(stage.FOREVER)  # culprit
        except asyncio.CancelledError:
            seen.append(1)


async def handler():
    async with asyncio.timeout(stage.FOREVER if stage.healthy else 0.05):
        await fetch()


async def main():
    task = asyncio.create_task(handler(), name="handler")
    parked = stage.resting({task: "culprit"})
    if stage.healthy:
        stage.when(parked)
    else:
        stage.when(
            lambda: seen and parked(),
            lambda: [stage.finding("timeout-overdue", "warning", [task], "culprit")],
            also=["cancel-swallowed"],
        )
    await task


seen = []
stage.run(main())
