"""Those that wait at connections for hours, by their nature: for news, and for their clients."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def serve(reader, writer):
    """Says what was heard, and nothing until it is asked again."""
    stage.keep(writer)
    while await reader.readline():  # client
        writer.write(b"understood\n")
        await writer.drain()


async def subscribe(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"SUBSCRIBE news\n")
    await reader.readline()
    while True:
        await reader.readline()  # news


async def listen(address):
    """Says nothing at all."""
    reader, writer = await asyncio.open_connection(*address)
    stage.keep(writer)
    async for _ in reader:  # all
        pass


async def push(reader, writer):
    """Asks its client, who has other things to do."""
    stage.keep(writer)
    writer.write(b"are you there?\n")
    await reader.readline()  # there


async def visit(address):
    stage.keep(await asyncio.open_connection(*address))


async def main():
    places = {}

    def marked(handler, mark):
        def start(reader, writer):
            places[asyncio.ensure_future(handler(reader, writer))] = mark

        return start

    server = await asyncio.start_server(marked(serve, "client"), "127.0.0.1", 0)
    pushing = await asyncio.start_server(marked(push, "there"), "127.0.0.1", 0)
    addresses = [it.sockets[0].getsockname() for it in (server, pushing)]
    for listener, mark in ((subscribe, "news"), (listen, "all")):
        places.update({asyncio.ensure_future(listener(addresses[0])): mark for _ in range(3)})
    await visit(addresses[1])
    rest = lambda: len(places) == 13 and stage.resting(dict(places))()
    stage.when(rest, held_for=stage.STUCK)
    await asyncio.Event().wait()


stage.run(main())
