"""Items that a consumer has handed on, and that something else will say to be done."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

_keep = []


class Feed:
    """One queue with its consumer, which hands each item on."""

    def __init__(self, hand_on):
        self.queue = asyncio.Queue()
        self.hand_on = hand_on

    async def consume(self):
        while True:
            item = await self.queue.get()  # idle
            self.hand_on(self, item)

    async def flush(self):
        await self.queue.join()  # joining

    def acknowledge(self):
        self.queue.task_done()


def later(feed, item):
    asyncio.get_event_loop().call_later(stage.FOREVER, feed.queue.task_done)


def later_in_words(feed, item):
    asyncio.get_event_loop().call_later(stage.FOREVER, lambda: feed.acknowledge())


def by_callback(feed, item):
    task = asyncio.ensure_future(asyncio.sleep(stage.FOREVER))
    task.add_done_callback(lambda _: feed.acknowledge())
    _keep.append(task)


async def work(feed, item):
    await asyncio.sleep(stage.FOREVER)
    feed.queue.task_done()


def by_task(feed, item):
    _keep.append(asyncio.ensure_future(work(feed, item)))


class Acknowledgements(asyncio.Protocol):
    def __init__(self, feed):
        self.feed = feed

    def data_received(self, data):
        self.feed.acknowledge()


async def main():
    loop, server = asyncio.get_event_loop(), stage.silent_server()
    feeds = [Feed(way) for way in (later, later_in_words, by_callback, by_task)]
    # The other end says what is done: to a task that reads, or to a protocol.
    read, heard = Feed(lambda feed, item: None), Feed(lambda feed, item: None)
    feeds += [read, heard]
    reader, writer = await asyncio.open_connection(*server)
    transport, protocol = await loop.create_connection(lambda: Acknowledgements(heard), *server)

    async def listen():
        while await reader.readline():  # listening
            read.acknowledge()

    places = {asyncio.ensure_future(listen()): "listening"}
    for feed in feeds:
        feed.queue.put_nowait(1)
        places[asyncio.ensure_future(feed.consume())] = "idle"
        places[asyncio.ensure_future(feed.flush())] = "joining"
    stage.when(stage.resting(places))
    await asyncio.wait(set(places))


stage.run(main())
