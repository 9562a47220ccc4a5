"""Tasks want a condition's lock, whose holder waits for a server's answer."""

import asyncio

import stage


async def publish(condition, server):
    async with condition:
        reader, writer = await asyncio.open_connection(*server)
        await reader.read(100)  # culprit
        condition.notify_all()


async def subscribe(condition):
    async with condition:
        await condition.wait()  # waits to be notified


async def late(condition):
    async with condition:  # waiting
        await condition.wait()


async def main():
    condition = asyncio.Condition()
    early = [asyncio.create_task(subscribe(condition), name="early-%d" % n) for n in range(3)]
    await asyncio.sleep(0.001)
    if stage.healthy:  # all wait to be notified, and nobody holds the lock
        stage.when(stage.resting({task: "waits to be notified" for task in early}))
        await stage.forever()
    holder = asyncio.create_task(publish(condition, stage.silent_server()), name="publish")
    await asyncio.sleep(0)
    waiters = [asyncio.create_task(late(condition), name="late-%d" % n) for n in range(10)]
    places = {task: "waits to be notified" for task in early}
    places.update({task: "waiting" for task in waiters})
    places[holder] = "culprit"
    stage.when(
        stage.resting(places),
        lambda: [stage.finding("lock-convoy", "warning", [holder], "culprit")],
    )
    await asyncio.wait(waiters)


stage.run(main())
