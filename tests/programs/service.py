"""A healthy service that does all that services do, without end.

    service.py [--loop asyncio|uvloop]

Connections come and go, requests pass a queue, a lock and a semaphore; timeouts are reached, calls
run in threads, errors and cancellations are handled. Prints READY once each kind of work was done.
After a line "stats" on its standard input it prints how often each was done so far.
"""

import argparse
import asyncio
import concurrent.futures
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

CLIENTS = 10
WORKERS = 4
done = {}


def count(kind):
    done[kind] = done.get(kind, 0) + 1


class Service:
    """What its parts share; made inside the loop, as 3.8 wants it."""

    def __init__(self):
        self.requests = asyncio.Queue(20)
        self.lock = asyncio.Lock()
        self.limit = asyncio.Semaphore(3)
        self.changed = asyncio.Condition()
        self.version = 0
        self.pool = concurrent.futures.ThreadPoolExecutor(2)


async def worker(service):
    loop = asyncio.get_running_loop()
    while True:
        line, answer = await service.requests.get()
        async with service.limit:
            async with service.lock:
                await asyncio.sleep(0.0005)
            if line.startswith(b"slow"):
                await loop.run_in_executor(service.pool, time.sleep, 0.01)
                count("pool")
        # Whoever asked may have given up.
        if not answer.done():
            answer.set_result(line.upper())
        service.requests.task_done()


async def serve(service, reader, writer):
    try:
        while True:
            line = await reader.readline()
            if not line:
                break
            answer = asyncio.get_running_loop().create_future()
            await service.requests.put((line, answer))
            writer.write(await answer)
            await writer.drain()
    finally:
        writer.close()


async def visit(address):
    """A client: some requests on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address)
    for number in range(random.randrange(1, 8)):
        writer.write(b"slow\n" if number == 2 else b"quick\n")
        await asyncio.wait_for(reader.readline(), 30)
        count("requests")
    writer.close()
    count("connections")


async def fails():
    await asyncio.sleep(0.001)
    raise ValueError("as it is meant to")


async def cleans_up():
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.002)


async def naps(seconds):
    await asyncio.sleep(seconds)
    return seconds


async def numbers():
    for number in range(5):
        yield number
        await asyncio.sleep(0)


async def errors(_service):
    results = await asyncio.gather(fails(), naps(0.001), fails(), return_exceptions=True)
    assert isinstance(results[0], ValueError)
    task = asyncio.ensure_future(fails())
    try:
        await task
    except ValueError:
        pass


async def cancellations(_service):
    tasks = [asyncio.ensure_future(cleans_up()) for _ in range(3)]
    await asyncio.sleep(0.003)
    for task in tasks:
        task.cancel()
    for task in tasks:
        try:
            await task
        except asyncio.CancelledError:
            pass


async def timeouts(_service):
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.TimeoutError:
        return
    raise AssertionError("no timeout")


async def threads(_service):
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.005)


async def shields(_service):
    inner = asyncio.ensure_future(naps(0.02))
    try:
        await asyncio.wait_for(asyncio.shield(inner), 0.005)
    except asyncio.TimeoutError:
        await inner


async def races(_service):
    tasks = [asyncio.ensure_future(naps(0.001 * n)) for n in range(1, 5)]
    _, slower = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in slower:
        task.cancel()
    await asyncio.gather(*slower, return_exceptions=True)


async def streams(_service):
    async for _ in numbers():
        pass


async def conditions(service):
    follower = asyncio.ensure_future(follows(service, service.version))
    await asyncio.sleep(0.002)
    async with service.changed:
        service.version += 1
        service.changed.notify_all()
    await follower


async def follows(service, version):
    async with service.changed:
        await service.changed.wait_for(lambda: service.version > version)


async def timers(_service):
    loop = asyncio.get_running_loop()
    rung = loop.create_future()
    never = loop.call_later(60, rung.cancel)
    loop.call_later(0.004, rung.set_result, None)
    await rung
    never.cancel()


async def batches(_service):
    queue = asyncio.Queue()
    for number in range(10):
        queue.put_nowait(number)

    async def drain():
        while True:
            await queue.get()
            await asyncio.sleep(0)
            queue.task_done()

    drainers = [asyncio.ensure_future(drain()) for _ in range(2)]
    await queue.join()
    for drainer in drainers:
        drainer.cancel()
    await asyncio.gather(*drainers, return_exceptions=True)


async def short_blocks(_service):
    time.sleep(0.005)
    await asyncio.sleep(0)


async def children(_service):
    child = await asyncio.create_subprocess_exec("sh", "-c", ":")
    assert await child.wait() == 0


# How long each kind of work rests between two times.
KINDS = {
    errors: 0.02,
    cancellations: 0.02,
    timeouts: 0.02,
    threads: 0.02,
    shields: 0.05,
    races: 0.02,
    streams: 0.05,
    conditions: 0.02,
    timers: 0.02,
    batches: 0.05,
    short_blocks: 0.1,
    children: 0.5,
}


async def again(work, rest, kind):
    """Does a kind of work again and again, each time as a task of its own."""
    while True:
        await asyncio.ensure_future(work())
        count(kind)
        await asyncio.sleep(rest * random.uniform(0.5, 1.5))


async def main():
    service = Service()
    server = await asyncio.start_server(
        lambda reader, writer: serve(service, reader, writer), "127.0.0.1", 0
    )
    address = server.sockets[0].getsockname()[:2]
    tasks = [asyncio.ensure_future(worker(service)) for _ in range(WORKERS)]
    for _ in range(CLIENTS):
        tasks.append(asyncio.ensure_future(again(lambda: visit(address), 0.05, "visits")))
    for kind, rest in KINDS.items():
        work = lambda kind=kind: kind(service)
        tasks.append(asyncio.ensure_future(again(work, rest, kind.__name__)))
    # The first that fails ends it all.
    everything = asyncio.gather(*tasks)
    wanted = {kind.__name__ for kind in KINDS} | {"visits", "requests", "pool"}
    while not wanted <= done.keys() and not everything.done():
        await asyncio.sleep(0.001)
    if not everything.done():
        common.emit_ready(done)
    await everything


def on_line(line):
    if line == "stats":
        common.emit(dict(done))


parser = argparse.ArgumentParser()
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()
common.watchdog(on_line=on_line)
common.run(options.loop, main())
