"""A lock of anyio's (up to 4.13) forgets those in line, as the first was cancelled while it was told."""

import asyncio
import random

import anyio

import stage

done = [0]


async def send(lock):
    async with lock:  # waiting
        await asyncio.sleep(0)
    done[0] += 1


async def again_and_again(lock):
    while True:
        try:
            async with lock:
                await asyncio.sleep(random.random() / 1000)
                done[0] += 1
        except asyncio.CancelledError:  # its client has hung up, and the next one comes
            pass


async def churn(lock):
    tasks = [asyncio.create_task(again_and_again(lock)) for _ in range(30)]
    # Whoever has hung up has to be out of the line before the lock is given back: that is the fault.
    stage.when(lambda: done[0] > 100, also=["lock-convoy"])
    await asyncio.wait(tasks)


async def main():
    lock = anyio.Lock()
    if stage.healthy:
        await churn(lock)
    await lock.acquire()
    gone = asyncio.create_task(send(lock))
    await asyncio.sleep(0.01)
    # All in one turn: a newcomer, a client that hangs up, and the owner that is done.
    waiters = [asyncio.create_task(send(lock), name="send-0")]
    gone.cancel()
    lock.release()
    await asyncio.sleep(0.01)
    waiters += [asyncio.create_task(send(lock), name="send-%d" % n) for n in range(1, 4)]
    stage.when(
        stage.resting({task: "waiting" for task in waiters}),
        lambda: [stage.finding("wakeup-lost", "critical", waiters, "waiting", "free")],
        waiting=lambda: [stage.waits(task, "lock") for task in waiters],
    )
    await asyncio.wait(waiters)


stage.run(main())
