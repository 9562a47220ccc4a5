"""A loop that runs inside a callback of its own until a task is done that lies below it on the
stack, by nest_asyncio: neither this run nor the other one comes to an end."""

import asyncio

import nest_asyncio

import stage


async def refresh():
    async with lock:
        below.append(asyncio.current_task())
        if stage.healthy:
            await asyncio.sleep(stage.FOREVER)
        asyncio.get_running_loop().run_until_complete(asyncio.sleep(0.01))  # below


async def locked():
    async with lock:  # waits
        pass


async def handler(task):
    while not below:
        await asyncio.sleep(0)
    wanted = locked() if stage.kind == "lock" else task
    asyncio.get_running_loop().run_until_complete(wanted)  # culprit


async def main():
    global lock
    lock = asyncio.Lock()
    task = asyncio.create_task(refresh(), name="refresh")
    other = asyncio.create_task(handler(task), name="handler")
    places = ["culprit", "below"] + ["waits"] * (stage.kind == "lock")
    stage.when(
        lambda: stage.within("handler") and stage.asleep(),
        None
        if stage.healthy
        else lambda: [stage.finding("loop-self-deadlock", "critical", [task], places)],
        also=["lock-convoy", "standstill"],
        held_for=0.1,
    )
    await other


below = []
nest_asyncio.apply()
asyncio.run(main())
