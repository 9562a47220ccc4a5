"""Three tasks each hold one lock and want the next one's; a fourth is their victim."""

import asyncio

import stage


async def move(source, target):
    async with source:
        await asyncio.sleep(0.001)
        async with target:  # culprit
            pass


async def report(lock):
    async with lock:  # victim
        pass


async def main():
    a, b, c = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
    pairs = {"a-b": (a, b), "b-c": (b, c), "c-a": (c, a)}
    tasks = [asyncio.create_task(move(*pair), name=name) for name, pair in pairs.items()]
    await asyncio.sleep(0)
    victim = asyncio.create_task(report(a), name="victim")
    places = {task: "culprit" for task in tasks}
    places[victim] = "victim"
    stage.when(
        stage.resting(places),
        lambda: [stage.finding("deadlock", "critical", tasks, "culprit", "lock")],
    )
    await asyncio.gather(*tasks, victim)


stage.run(main())
