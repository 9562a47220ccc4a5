"""A subscriber that waits on a websocket for news that come once in some hours."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import websockets

import stage

subscribed = [0]


async def publish(connection, path=None):
    subscribed[0] += 1
    while True:
        await asyncio.sleep(10000)
        await connection.send("news")


async def subscribe(address):
    async with websockets.connect("ws://%s:%d" % address) as connection:
        async for message in connection:  # waits
            print(message)


async def main():
    async with websockets.serve(publish, "127.0.0.1", 0) as server:
        address = list(server.sockets)[0].getsockname()
        tasks = [asyncio.ensure_future(subscribe(address)) for _ in range(5)]
        parked = stage.resting({task: "waits" for task in tasks})
        stage.when(lambda: subscribed[0] == 5 and parked())
        await asyncio.wait(tasks)


stage.run(main())
