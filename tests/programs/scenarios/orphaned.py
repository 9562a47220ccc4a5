"""A background task that nobody keeps: only the cycle it is in itself, until the next collection."""

import asyncio
import gc

import stage


async def audit():
    done = asyncio.get_running_loop().create_future()
    await done  # culprit


async def main():
    gc.disable()
    task = asyncio.create_task(audit(), name="audit")
    await asyncio.sleep(0)
    stage.when(
        stage.asleep,
        lambda found=stage.finding("task-orphaned", "info", [task], "culprit"): [found],
        also=["orphan-wait"],
    )
    del task
    await stage.forever()


stage.run(main())
