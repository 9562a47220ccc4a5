"""A service that serves itself, with some two thousand requests a second."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

CLIENTS = 20
served = [0]


async def serve(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            break
        served[0] += 1
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(address):
    reader, writer = await asyncio.open_connection(*address)
    while True:
        writer.write(b"hello\n")
        await asyncio.wait_for(reader.readline(), 60)
        await asyncio.sleep(CLIENTS / 2000)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    clients = [asyncio.create_task(client(address)) for _ in range(CLIENTS)]
    stage.when(lambda: served[0] > 100)
    await asyncio.wait(clients)


stage.run(main())
