"""Two tasks each hold one of two permits, and want the other one too."""

import asyncio

import stage


async def copy(connections):
    async with connections:
        await asyncio.sleep(0.001)
        async with connections:  # culprit
            pass


async def main():
    connections = asyncio.Semaphore(2)
    tasks = [asyncio.create_task(copy(connections), name="copy-%d" % n) for n in range(2)]
    stage.when(
        stage.resting({task: "culprit" for task in tasks}),
        lambda: [stage.finding("deadlock", "critical", tasks, "culprit", "semaphore")],
    )
    await asyncio.wait(tasks)


stage.run(main())
