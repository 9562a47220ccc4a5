"""Subscribers that wait for news for hours, on a condition, events and queues of a broker."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


class Broker:
    def __init__(self):
        self.queues = []
        self.news = asyncio.Condition()
        self.stopping = asyncio.Event()

    async def subscribe(self):
        queue = asyncio.Queue()
        self.queues.append(queue)
        while True:
            await queue.get()  # queue

    async def watch(self):
        async with self.news:
            await self.news.wait_for(lambda: False)  # condition

    async def until_stopped(self):
        await self.stopping.wait()  # event

    async def publish(self, reader, writer):
        for queue in self.queues:
            queue.put_nowait(await reader.readline())
        async with self.news:
            self.news.notify_all()
        self.stopping.set()


async def main():
    broker = Broker()
    places = {}
    for function, mark in ((broker.subscribe, "queue"), (broker.watch, "condition")):
        places.update({asyncio.create_task(function()): mark for _ in range(10)})
    places[asyncio.create_task(broker.until_stopped())] = "event"
    server = await asyncio.start_server(broker.publish, "127.0.0.1", 0)
    stage.when(stage.resting(places))
    await asyncio.wait(places)
    server.close()


stage.run(main())
