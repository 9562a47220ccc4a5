"""Tasks that only what they wait for refers to: the loop or an object of the program wakes them."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

started = []


async def beat():
    started.append(None)
    while True:
        await asyncio.sleep(stage.FOREVER)


async def consume(queue):
    started.append(None)
    while True:
        await queue.get()


async def listen(event):
    started.append(None)
    await event.wait()


async def serve(reader, writer):
    # `start_server` of 3.8 to 3.11 keeps no more of the task of its handler.
    started.append(None)
    await reader.read()
    writer.close()


async def main():
    queue, event = asyncio.Queue(), asyncio.Event()
    for start in (beat(), consume(queue), listen(event)):
        asyncio.ensure_future(start)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = await asyncio.open_connection(*server.sockets[0].getsockname())
    stage.when(lambda: len(started) == 4 and stage.asleep())
    await asyncio.sleep(stage.FOREVER)
    return queue, event, connection


stage.run(main())
