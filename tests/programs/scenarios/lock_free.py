"""A lock is free, or has a permit, and those in line for it are never told."""

import asyncio
import random

import stage

done = [0]


async def send(lock):
    async with lock:  # waiting
        await asyncio.sleep(0.001)


async def again_and_again(lock):
    while True:
        async with lock:
            await asyncio.sleep(random.choice([0, 0, random.random() / 1000]))
        done[0] += 1


async def hang_up(lock):
    """Clients that don't wait for long."""
    while True:
        task = asyncio.create_task(again_and_again(lock))
        await asyncio.sleep(random.random() / 300)
        task.cancel()
        await asyncio.wait([task])


async def main():
    is_lock = stage.kind == "lock"
    lock = asyncio.Lock() if is_lock else asyncio.Semaphore(1)
    if stage.healthy:
        works = [again_and_again(lock) for _ in range(20)] + [hang_up(lock) for _ in range(5)]
        tasks = [asyncio.create_task(work) for work in works]
        stage.when(lambda: done[0] > 100, also=["lock-convoy"])
        await asyncio.wait(tasks)
    await lock.acquire()
    waiters = [asyncio.create_task(send(lock), name="send-%d" % n) for n in range(3)]
    await asyncio.sleep(0)
    # Its owner is gone: it is given back by hand.
    if is_lock:
        lock._locked = False
    else:
        lock._value += 1
    stage.when(
        stage.resting({task: "waiting" for task in waiters}),
        lambda: [stage.finding("wakeup-lost", "critical", waiters, "waiting", "free")],
        waiting=lambda: [stage.waits(task, "lock" if is_lock else "semaphore") for task in waiters],
    )
    await asyncio.wait(waiters)


stage.run(main())
