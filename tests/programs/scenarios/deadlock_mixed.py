"""A task holds a lock and waits for another task, which wants the lock (--kind task, gather)."""

import asyncio

import stage


async def save(lock):
    async with lock:  # wants
        await asyncio.sleep(0)


async def update(lock):
    async with lock:
        children.append(asyncio.create_task(save(lock), name="save"))
        if stage.kind == "gather":
            await asyncio.gather(*children, asyncio.sleep(0))  # gathers
        else:
            await children[0]  # waits


async def main():
    parent = asyncio.create_task(update(asyncio.Lock()), name="update")
    mark = "gathers" if stage.kind == "gather" else "waits"
    stage.when(
        lambda: children and stage.resting({parent: mark, children[0]: "wants"})(),
        lambda: [
            stage.finding("deadlock", "critical", [parent] + children, [mark, "wants"], "lock")
        ],
    )
    await parent


children = []
stage.run(main())
