"""An aiohttp server that is stopped and started again and again, with requests of a second in flight."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

from aiohttp import web

import stage

stops = [0]


async def slow(request):
    under_way.append(request)
    await asyncio.sleep(1)
    return web.Response(text="done")


async def client(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()


async def closing(app):
    await asyncio.sleep(0.3)


async def main():
    app = web.Application()
    app.router.add_get("/", slow)
    app.on_cleanup.append(closing)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = site._server.sockets[0].getsockname()
    clients = [asyncio.ensure_future(client(address)) for _ in range(2)]
    while len(under_way) < 2:
        await asyncio.sleep(0.01)
    stops[0] += 1
    await runner.cleanup()
    await asyncio.wait(clients)
    del under_way[:]


under_way = []
# A stop that ends by itself is under way at some looks.
stage.when(lambda: stops[0] > 0, also=["cleanup-stuck", "shutdown-stuck"])
while True:
    stage.run(main())
