"""Those whose peers have nothing to say to what they sent: it may be told, and is no alarm."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def subscribe(address):
    """Nobody confirms what it wants to hear."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"SUBSCRIBE news\n")
    await writer.drain()
    async for _ in reader:  # news
        pass


async def take(address):
    """The same in another kind of loop."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"SUBSCRIBE news\n")
    while (line := await reader.readline()) != b"END\n":  # takes
        print(line)


async def follow(reader):
    while True:
        await reader.readline()  # follows


async def log_in(address):
    """The same in two functions."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"LOGIN me\n")
    await follow(reader)


async def send(address, places):
    """Sends one way, while another task reads what there may be."""
    reader, writer = await asyncio.open_connection(*address)
    places[asyncio.ensure_future(follow(reader))] = "follows"
    writer.write(b"a measured value\n")
    while True:
        await asyncio.sleep(stage.FOREVER)


async def poll(address):
    """Gives up after a while and asks again."""
    reader, writer = await asyncio.open_connection(*address)
    while True:
        writer.write(b"any news?\n")
        await asyncio.wait_for(reader.readline(), 3600)  # polls


async def main():
    address = stage.silent_server()
    places = {}
    for talk, mark in ((subscribe, "news"), (take, "takes"), (log_in, "follows"), (poll, "polls")):
        places[asyncio.ensure_future(talk(address))] = mark
    sender = asyncio.ensure_future(send(address, places))
    rest = lambda: len(places) == 5 and stage.resting(dict(places))()
    stage.when(rest, also=["peer-silent"], held_for=stage.STUCK)
    await sender


stage.run(main())
