"""Two hundred workers on one queue, which a server fills when somebody asks; nobody does."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


class Service:
    def __init__(self):
        self.queue = asyncio.Queue(1000)

    async def work(self):
        while True:
            request = await self.queue.get()  # idle
            request.close()
            self.queue.task_done()

    async def accept(self, reader, writer):
        await self.queue.put(writer)


async def main():
    service = Service()
    workers = [asyncio.create_task(service.work()) for _ in range(200)]
    server = await asyncio.start_server(service.accept, "127.0.0.1", 0)
    stage.when(stage.resting({worker: "idle" for worker in workers}))
    await asyncio.wait(workers)
    server.close()


stage.run(main())
