"""Forty tasks wait for a lock whose holder waits for a server's answer, in a program that goes on.

At two samples that may be a slow answer. The twin has a lock that is never free either, but goes
round.
"""

import asyncio

import stage


async def refresh(lock, server):
    async with lock:
        reader, writer = await asyncio.open_connection(*server)
        await reader.readline()  # culprit


async def get(lock):
    while True:
        async with lock:  # waiting
            await asyncio.sleep(0.005)


async def tick():
    while True:
        await asyncio.sleep(0.01)


async def main():
    server = stage.silent_server()
    lock = asyncio.Lock()
    tasks = [asyncio.create_task(tick(), name="tick")]
    if stage.healthy:
        tasks += [asyncio.create_task(get(lock), name="get-%d" % n) for n in range(40)]
        stage.when(lambda: True)
    else:
        holder = asyncio.create_task(refresh(lock, server), name="refresh")
        await asyncio.sleep(0)
        waiters = [asyncio.create_task(get(lock), name="get-%d" % n) for n in range(40)]
        places = {task: "waiting" for task in waiters}
        places[holder] = "culprit"
        stage.when(stage.resting(places), lambda: [])
        tasks += [holder] + waiters
    await asyncio.wait(tasks)


stage.run(main())
