"""A pool of connections, some taken for long, and more free than anybody wants."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


class Pool:
    def __init__(self, size):
        self.free = asyncio.Queue()
        self.limit = asyncio.Semaphore(size)
        for number in range(size):
            self.free.put_nowait(number)

    async def __aenter__(self):
        await self.limit.acquire()
        return await self.free.get()

    async def __aexit__(self, *exception):
        self.limit.release()


async def transaction(pool, reader):
    async with pool:
        await reader.readline()  # in transaction


async def query(pool):
    while True:
        async with pool as connection:
            queries[0] += 1
            await asyncio.sleep(0.001)
            pool.free.put_nowait(connection)


async def main():
    pool = Pool(10)
    reader, writer = await asyncio.open_connection(*stage.silent_server())
    tasks = [asyncio.create_task(transaction(pool, reader))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(query(pool)) for _ in range(5)]
    stage.when(lambda: queries[0] > 10)
    await asyncio.wait(tasks)
    writer.close()


queries = [0]
stage.run(main())
