"""An aiohttp server that nobody asks for anything, with one idle client of its own."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import aiohttp
from aiohttp import web

import stage


async def hello(request):
    return web.Response(text="hello")


async def main():
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = site._server.sockets[0].getsockname()
    async with aiohttp.ClientSession() as session:
        async with session.get("http://%s:%d/" % (host, port)) as response:
            assert await response.text() == "hello"
        stage.when(stage.asleep)
        await asyncio.Event().wait()


stage.run(main())
