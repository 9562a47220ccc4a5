"""Jobs that fail between acquire() and release(): a semaphore's permits are gone."""

import asyncio

import stage


async def use(limit, fails):
    await limit.acquire()  # waiting
    await asyncio.sleep(0.001)
    if fails:
        raise ValueError("bad record")
    limit.release()


async def main():
    limit = asyncio.Semaphore(2)
    for _ in range(0 if stage.healthy else 2):
        try:
            await use(limit, True)
        except ValueError:
            pass
    if stage.healthy:  # with acquire() and release() too, but in live tasks
        stage.when(lambda: True)
        while True:
            await asyncio.gather(*[use(limit, False) for _ in range(20)])
    waiters = [asyncio.create_task(use(limit, False), name="use-%d" % n) for n in range(5)]
    stage.when(
        stage.resting({task: "waiting" for task in waiters}),
        lambda: [
            stage.finding("permit-leaked", "critical", waiters[:1], "waiting", "semaphore")
        ],
    )
    await asyncio.wait(waiters)


stage.run(main())
