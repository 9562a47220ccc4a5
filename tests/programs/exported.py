"""A server that has something of each figure that is exported, and blocks its loop when it is told to.

Two calls share the one connection of a pool, two reports the one thread of an executor. The line
"block" on standard input has a request block the loop, the line "free" lets it go on. SECRET stands
wherever nobody is to read it. Prints READY, and goes on until its standard input ends.
"""

import asyncio
import concurrent.futures
import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common
import httpx
from aiohttp import web

arrived = []
told = loop = None
freed = threading.Event()


def on_line(line):
    if line == "block":
        loop.call_soon_threadsafe(told.set)
    else:
        freed.set()


common.watchdog(on_line=on_line)


async def show_order(request):
    token = "SECRET"
    arrived.append("order")
    await asyncio.sleep(common.FOREVER)
    return token


async def ask_stock(request):
    arrived.append("call")
    await request.app["client"].post(
        "http://me:SECRET@127.0.0.1:%d/stock/SECRET?token=SECRET" % request.app["silent"],
        headers={"X-Token": "SECRET"}, content="SECRET")


def make_report(password):
    arrived.append("report")
    threading.Event().wait()


async def show_report(request):
    arrived.append("request of a report")
    await asyncio.get_running_loop().run_in_executor(request.app["threads"], make_report, "SECRET")


async def block(request):
    arrived.append("block")
    while True:
        await told.wait()
        told.clear()
        freed.wait()  # blocks
        freed.clear()


async def silence(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    arrived.append("silent")
    await asyncio.sleep(common.FOREVER)


async def ask(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "GET %s?token=SECRET HTTP/1.1\r\nHost: x\r\nCookie: id=SECRET\r\nAuthorization: Bearer SECRET\r\n\r\n"
    writer.write((head % path).encode())
    return reader, writer


async def main():
    global loop, told
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    application = web.Application()
    application["silent"] = server.sockets[0].getsockname()[1]
    application["threads"] = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="reports")
    limits = httpx.Limits(max_connections=1)
    application["client"] = httpx.AsyncClient(timeout=None, verify=False, trust_env=False, limits=limits)
    for name, handler in [("orders", show_order), ("calls", ask_stock), ("reports", show_report), ("blocks", block)]:
        application.router.add_get("/%s/{number}" % name, handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    kept = [await ask(port, "/%s/SECRET" % name) for name in ["orders", "calls", "calls", "reports", "reports", "blocks"]]
    while len(arrived) < 8:
        await asyncio.sleep(0.01)
    print("READY", flush=True)
    await asyncio.sleep(common.FOREVER)
    return kept


asyncio.run(main())
