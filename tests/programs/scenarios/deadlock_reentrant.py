"""A method that holds its object's lock calls another one that takes it too."""

import asyncio

import stage


class Account:
    def __init__(self):
        self.lock = asyncio.Lock()

    async def save(self):
        async with self.lock:  # culprit
            await asyncio.sleep(0)

    async def deposit(self):
        async with self.lock:
            await self.save()  # outer


async def main():
    task = asyncio.create_task(Account().deposit(), name="deposit")
    stage.when(
        stage.resting({task: "culprit"}),
        lambda: [stage.finding("deadlock", "critical", [task], "culprit", "lock")],
    )
    await task


stage.run(main())
