"""Tasks wait for an event, and the one that was to set it has returned early: nothing is left to wake
the process."""

import asyncio

import stage


class Import:
    def __init__(self):
        self.loaded = asyncio.Event()

    async def load(self, rows):
        if not rows and not stage.healthy:
            return
        self.loaded.set()

    async def report(self):
        await self.loaded.wait()  # culprit
        if stage.healthy:
            await asyncio.sleep(stage.FOREVER)  # at rest


async def main():
    work = Import()
    first = asyncio.create_task(work.report(), name="first")
    second = asyncio.create_task(work.report(), name="second")
    await asyncio.create_task(work.load([]))
    tasks = [first, second]
    if stage.healthy:
        stage.when(stage.resting({task: "at rest" for task in tasks}), alone=True)
    else:
        stage.when(
            stage.resting({task: "culprit" for task in tasks}),
            lambda: [stage.finding("standstill", "critical", tasks, "culprit", "event")],
            alone=True,
        )
    await asyncio.wait(tasks)


stage.run(main())
