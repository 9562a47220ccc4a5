"""A task took a lock and ended without giving it back."""

import asyncio

import stage


async def hold(lock):
    await lock.acquire()
    try:
        await asyncio.sleep(stage.FOREVER)  # holds
    finally:
        lock.release()


async def reconnect(lock):
    await lock.acquire()
    await asyncio.sleep(0.001)
    if not stage.healthy:
        return  # early, and without release()
    lock.release()


async def send(lock):
    async with lock:  # waiting
        await asyncio.sleep(0.001)


async def main():
    lock = asyncio.Lock()
    await asyncio.create_task(reconnect(lock))
    if stage.healthy:  # taken by acquire() and held for long, with nobody who wants it
        holder = asyncio.create_task(hold(lock))
        stage.when(stage.resting({holder: "holds"}))
        await stage.forever()
    waiters = [asyncio.create_task(send(lock), name="send-%d" % n) for n in range(5)]
    stage.when(
        stage.resting({task: "waiting" for task in waiters}),
        lambda: [stage.finding("permit-leaked", "critical", waiters[:1], "waiting", "lock")],
    )
    await asyncio.wait(waiters)


stage.run(main())
