"""Servers with requests in flight, and what these ask of others.

    requested.py held    requests that wait: in a route, for a call, for children, in a plain application
    requested.py busy    many short requests; each names its task by its path

SECRET stands wherever nobody is to read it. Prints READY, and goes on until its standard input ends.
"""

import asyncio
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

common.watchdog()

import httpx
import uvicorn
from aiohttp import web

CLIENTS = 30
arrived = 0
silent = None


async def hold():
    global arrived
    arrived += 1
    await asyncio.sleep(common.FOREVER)


async def show_order(request):
    await hold()


async def ask_stock(request):
    url = "http://me:SECRET@127.0.0.1:%d/stock/4?token=SECRET" % silent
    # Not all roots have certificates, and none is needed.
    options = {"verify": False, "trust_env": False, "headers": {"X-Token": "SECRET"}}
    async with httpx.AsyncClient(timeout=None, **options) as client:
        await client.post(url, content="SECRET")


async def show_all(request):
    await asyncio.gather(*[hold() for _ in range(3)])


async def plain_application(scope, receive, send):
    if scope["type"] == "http":
        await hold()


async def short(path):
    asyncio.current_task().set_name("n" + path)
    await asyncio.sleep(0)
    await asyncio.sleep(random.random() * 0.02)


async def short_order(request):
    await short(request.path)
    return web.Response()


async def short_application(scope, receive, send):
    if scope["type"] == "http":
        await short(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def silence(reader, writer):
    global arrived
    await reader.readuntil(b"\r\n\r\n")
    arrived += 1
    await asyncio.sleep(common.FOREVER)


async def ask(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "GET %s?token=SECRET HTTP/1.1\r\nHost: x\r\nCookie: SECRET\r\n\r\n" % path
    writer.write(head.encode())
    return reader, writer


async def ask_again(port, client):
    number = 1000 * client
    while True:
        number += 1
        reader, writer = await ask(port, "/%s/%d" % (random.choice(["a", "b", "c"]), number))
        for _ in range(20):
            await reader.readuntil(b"\r\n\r\n")
            number += 1
            path = "/%s/%d" % (random.choice(["a", "b", "c"]), number)
            writer.write(("GET %s?token=SECRET HTTP/1.1\r\nHost: x\r\n\r\n" % path).encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def serve_aiohttp(routes):
    application = web.Application()
    for route, handler in routes.items():
        application.router.add_get(route, handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def serve_uvicorn(application):
    config = uvicorn.Config(application, port=0, log_level="error", lifespan="off", loop="none")
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    return task, server.servers[0].sockets[0].getsockname()[1]


async def main():
    global silent
    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    silent = server.sockets[0].getsockname()[1]
    if sys.argv[1] == "held":
        routes = {"/orders/{number}": show_order, "/call": ask_stock, "/all": show_all}
        runner, port = await serve_aiohttp(routes)
        task, other = await serve_uvicorn(plain_application)
        kept = [await ask(port, path) for path in ["/orders/17", "/call", "/all"]]
        kept.append(await ask(other, "/plain/18"))
        while arrived < 6:
            await asyncio.sleep(0.01)
        print("READY", flush=True)
    else:
        route = {"/{word}/{number}": short_order}
        runner, port = await serve_aiohttp(route)
        task, other = await serve_uvicorn(short_application)
        print("READY", flush=True)
        clients = [ask_again([port, other][client % 2], client) for client in range(CLIENTS)]
        await asyncio.gather(*clients)
    await task


asyncio.run(main())
