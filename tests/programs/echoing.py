"""A busy echo service over loopback, and its clients: 1,000 tasks that are never at rest for long.

    echoing.py [--connections N] [--active N] [--loop asyncio|uvloop]

Each of the N (499) connections is two tasks, "echo-0"... that reads a line and writes it back, and
"client-0"... that writes one and waits for the answer, both over asyncio's streams. Only --active
of them (all) go on asking. One process, so that a watcher has a processor of its own where there
are two. After READY a line "stats" on stdin prints, and resets, {"requests": answered,
"elapsed_ms"}.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import time

import common

parser = argparse.ArgumentParser()
parser.add_argument("--connections", type=int, default=499)
parser.add_argument("--active", type=int)
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()


class Stats:
    def __init__(self):
        self.requests, self.since = 0, time.monotonic()


stats = Stats()


async def echo(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            return
        writer.write(line)
        await writer.drain()


async def ask(port, connected, may_ask, goes_on):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connected.release()
    await may_ask.wait()
    while True:
        writer.write(b"hello\n")
        await reader.readline()
        stats.requests += 1
        if not goes_on:
            await asyncio.sleep(common.FOREVER)


async def main():
    loop = asyncio.get_event_loop()
    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=options.connections)
    port = server.sockets[0].getsockname()[1]
    active = options.connections if options.active is None else options.active
    connected, may_ask = asyncio.Semaphore(0), asyncio.Event()
    clients = []
    for number in range(options.connections):
        asking = ask(port, connected, may_ask, number < active)
        clients.append(loop.create_task(asking, name="client-%d" % number))
    for _ in clients:
        await connected.acquire()
    may_ask.set()
    while stats.requests < options.connections:
        await asyncio.sleep(0.01)
    stats.__init__()
    common.emit_ready({"tasks": len(asyncio.all_tasks())})
    await asyncio.gather(*clients)


def on_line(line):
    if line == "stats":
        elapsed = time.monotonic() - stats.since
        common.emit({"requests": stats.requests, "elapsed_ms": round(elapsed * 1000, 3)})
        stats.__init__()


common.watchdog(on_line=on_line)
common.run(options.loop, main())
