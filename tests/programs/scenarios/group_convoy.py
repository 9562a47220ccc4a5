"""A parent waits for something slow within its group, with a lock that a child of it wants."""

import asyncio

import stage


async def child(lock):
    async with lock:  # waiting
        await asyncio.sleep(0.001)


async def main():
    lock = asyncio.Lock()
    parent = asyncio.current_task()
    server = stage.silent_server()
    async with asyncio.TaskGroup() as group:
        async with lock:
            task = group.create_task(child(lock), name="child")
            reader, _ = await asyncio.open_connection(*server)
            lines = [asyncio.create_task(reader.readline(), name="reads")]
            stage.when(
                stage.resting({task: "waiting", parent: "culprit"}),
                # It is no deadlock: what it waits for is not the child.
                lambda: [stage.finding("lock-convoy", "warning", [parent], "culprit", "lock")],
                waiting=lambda: [stage.waits(parent, "gather", lines), stage.waits(task, "lock")],
            )
            await asyncio.gather(*lines)  # culprit


stage.run(main())
