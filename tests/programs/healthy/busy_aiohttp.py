"""An aiohttp server and its clients, a few hundred requests a second."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import aiohttp
from aiohttp import web

import stage

answered = [0]


async def hello(request):
    await asyncio.sleep(0.001)
    return web.json_response({"hello": "world"})


async def client(session, url):
    while True:
        async with session.get(url) as response:
            await response.json()
            answered[0] += 1
        await asyncio.sleep(0.05)


async def main():
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = "http://%s:%d/" % site._server.sockets[0].getsockname()
    connector = aiohttp.TCPConnector(limit=5)
    async with aiohttp.ClientSession(connector=connector) as session:
        clients = [asyncio.ensure_future(client(session, url)) for _ in range(10)]
        stage.when(lambda: answered[0] > 20)
        await asyncio.wait(clients)


stage.run(main())
