"""A subscriber that says what it wants on a websocket, which nobody confirms."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import websockets

import stage

heard = [0]


async def publish(connection, path=None):
    async for _ in connection:
        heard[0] += 1


async def subscribe(address):
    async with websockets.connect("ws://%s:%d" % address, ping_interval=None) as connection:
        await connection.send("news")
        await connection.recv()  # waits


async def main():
    async with websockets.serve(publish, "127.0.0.1", 0, ping_interval=None) as server:
        address = list(server.sockets)[0].getsockname()
        tasks = [asyncio.ensure_future(subscribe(address)) for _ in range(3)]
        parked = stage.resting({task: "waits" for task in tasks})
        stage.when(lambda: heard[0] == 3 and parked(), held_for=stage.STUCK)
        await asyncio.wait(tasks)


stage.run(main())
