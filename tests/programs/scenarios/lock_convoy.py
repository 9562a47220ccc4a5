"""Forty tasks wait for a lock whose holder waits for a server's answer."""

import asyncio

import stage


class Cache:
    def __init__(self, server):
        self.lock = asyncio.Lock()
        self.server = server

    async def refresh(self):
        async with self.lock:
            reader, writer = await asyncio.open_connection(*self.server)
            await reader.readline()  # culprit

    async def get(self):
        async with self.lock:  # waiting
            await asyncio.sleep(0.0001)


async def again_and_again(cache):
    while True:
        await cache.get()


async def main():
    cache = Cache(stage.silent_server())
    if stage.healthy:
        tasks = [asyncio.create_task(again_and_again(cache)) for _ in range(40)]
        stage.when(lambda: True)
    else:
        holder = asyncio.create_task(cache.refresh(), name="refresh")
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(cache.get(), name="get-%d" % n) for n in range(40)]
        places = {task: "waiting" for task in tasks}
        places[holder] = "culprit"
        stage.when(
            stage.resting(places),
            lambda: [stage.finding("lock-convoy", "warning", [holder], "culprit", "lock")],
            waiting=lambda: [stage.waits(holder, "socket"), stage.waits(tasks[7], "lock")],
        )
    await asyncio.wait(tasks)


stage.run(main())
