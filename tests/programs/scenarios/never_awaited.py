"""A coroutine that somebody forgot to await, in a local variable."""

import asyncio

import stage


class Store:
    async def save(self, record):
        await asyncio.sleep(0)


async def handler(store):
    saving = store.save({"id": 1})
    if stage.healthy:
        await saving
    await asyncio.sleep(stage.FOREVER)  # culprit


async def main():
    task = asyncio.create_task(handler(Store()), name="handler")
    code = [] if stage.healthy else ["never-awaited"]
    stage.when(
        stage.resting({task: "culprit"}),
        lambda: [stage.finding(c, "warning", [task], "culprit", "Store.save") for c in code],
    )
    await task


stage.run(main())
