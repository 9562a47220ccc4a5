"""Trouble that only shows over time, and its healthy twin.

    overtime.py slow [--healthy]          a callback blocks its loop again and again at one line
    overtime.py leak [--healthy]          a service starts more and more tasks that never end
    overtime.py sequential [--healthy]    tasks make many calls one after the other; its twins make
                                          some at a time, or can do nothing else

Prints READY and goes on until its standard input ends. `sequential` prints when each of its calls
began, by task, when it is sent a line.
"""

import asyncio
import itertools
import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

kind, is_healthy = sys.argv[1], "--healthy" in sys.argv


async def follow(client):
    await client.wait()


async def slow():
    while True:
        await asyncio.sleep(0.3)
        if is_healthy:
            time.sleep(0.03)
        else:
            time.sleep(0.15)  # slow


async def leak():
    tasks = set()
    while True:
        burst = [asyncio.ensure_future(follow(asyncio.Event())) for _ in range(10)]
        tasks.update(burst)
        await asyncio.sleep(0.1)
        if is_healthy:
            for task in burst:
                task.cancel()
            tasks.difference_update(burst)


# --- calls of a server in another thread --------------------------------------------------------

# Where the server is: an abstract name, which leaves nothing behind, not even in the kernel.
SERVER = "\0aiospy-overtime-%d" % os.getpid()
BEGAN = {}  # when the calls of each task began


async def answer(reader, writer):
    """Answers each line after a while."""
    while await reader.readline():
        await asyncio.sleep(0.1)
        writer.write(b"done\n")
        await writer.drain()
    writer.close()


def serve(is_there):
    async def forever():
        server = await asyncio.start_unix_server(answer, SERVER, backlog=1000)
        is_there.set()
        await server.serve_forever()

    asyncio.run(forever())


async def fetch(number):
    reader, writer = await asyncio.open_unix_connection(SERVER)
    writer.write(b"%d\n" % number)
    await reader.readline()
    writer.close()
    return number


class Client:
    """Asks for one thing after the other by one connection."""

    async def connect(self):
        self.reader, self.writer = await asyncio.open_unix_connection(SERVER)
        return self

    async def get(self, number):
        for _ in range(3):
            try:
                self.writer.write(b"%d\n" % number)
                answer = await self.reader.readline()
                if answer:
                    return answer
            except ConnectionError:
                continue
        return None

    async def send(self, number):
        self.writer.write(b"%d\n" % number)
        await self.writer.drain()
        await self.reader.readline()

    async def recv(self):
        self.writer.write(b"more\n")
        return await self.reader.readline()


def begins(name):
    BEGAN[name].append(common.monotonic())


def compute(number):
    time.sleep(0.1)
    return number


async def crawler():
    pages = []
    for number in list(range(500)):
        begins("crawler")
        pages.append(await fetch(number))  # awaits: crawler fetch


async def paginator():
    client = await Client().connect()
    for number in range(1, 401):
        begins("paginator")
        await asyncio.wait_for(client.get(number), 60)  # awaits: paginator Client.get


async def offloader():
    loop = asyncio.get_running_loop()
    for number, name in enumerate(("one", "two", "three") * 100):
        begins("offloader")
        await loop.run_in_executor(None, compute, number)  # awaits: offloader compute


async def collector():
    def numbered(number):
        begins("collector")
        return number

    return {number: await fetch(numbered(number)) for number in tuple(range(300))}  # awaits: collector fetch


async def streamer():
    for number in itertools.count():
        begins("streamer")
        await fetch(number)  # awaits: streamer fetch


TROUBLED = [crawler, paginator, offloader, collector, streamer]


# The healthy twins.


async def with_semaphore():
    few = asyncio.Semaphore(10)

    async def limited(number):
        async with few:
            return await fetch(number)

    while True:
        await asyncio.gather(*[limited(number) for number in range(50)])


async def workers():
    queue = asyncio.Queue()

    async def worker():
        while True:
            await fetch(await queue.get())
            queue.task_done()

    tasks = [asyncio.ensure_future(worker()) for _ in range(4)]
    while tasks:
        for number in range(100):
            queue.put_nowait(number)
        await queue.join()


async def shares():
    async def worker(numbers):
        for number in numbers:
            await fetch(number)

    numbers = list(range(2000))
    await asyncio.gather(*[worker(numbers[first::4]) for first in range(4)])


async def waits_for_tasks():
    while True:
        for task in [asyncio.ensure_future(fetch(number)) for number in range(50)]:
            await task


async def waits_for_tasks_with_limit():
    while True:
        tasks = [asyncio.ensure_future(fetch(number)) for number in range(50)]
        for number, task in enumerate(tasks):
            await asyncio.wait_for(asyncio.shield(task), 60)


async def waits_for_threads():
    loop = asyncio.get_running_loop()
    while True:
        calls = {number: loop.run_in_executor(None, compute, number) for number in range(20)}
        for call in calls.values():
            await call


async def waits_for_names():
    loop = asyncio.get_running_loop()
    while True:
        calls = {name: loop.run_in_executor(None, compute, name) for name in range(20)}
        for name in calls:
            await calls[name]


async def waits_for_threads_with_limit():
    loop = asyncio.get_running_loop()
    while True:
        calls = {name: loop.run_in_executor(None, compute, name) for name in range(20)}
        for call in calls.values():
            await asyncio.wait_for(call, 60)


async def as_they_come():
    while True:
        tasks = [fetch(number) for number in range(50)]
        for task in asyncio.as_completed(tasks):
            await task


async def batches():
    for first in range(10**6):
        await asyncio.gather(*[fetch(number) for number in range(5)])


async def receiver():
    client = await Client().connect()
    while True:
        await client.recv()


async def in_one_stream():
    client = await Client().connect()
    for _ in range(10**6):
        client.writer.write(b"next\n")
        await client.reader.readline()


async def messages():
    client = await Client().connect()
    for _ in range(10**6):
        await client.recv()


async def parts():
    client = await Client().connect()
    for number in range(10**6):
        await client.send(number)


async def sleeper():
    for _ in range(10**6):
        await asyncio.sleep(0.05)


async def slow_poller():
    for _ in range(10**6):
        await fetch(1)
        await asyncio.sleep(0.2)


async def clients():
    """A server with a task for each of its clients."""
    tasks = set()

    async def handle(reader, writer):
        tasks.add(asyncio.current_task())  # nothing else does, up to 3.11
        for number in range(10**6):
            if not await reader.readline():
                break
            await fetch(number)
            writer.write(b"done\n")

    async def client():
        reader, writer = await asyncio.open_unix_connection(SERVER + "-own")
        while True:
            writer.write(b"more\n")
            assert await reader.readline()

    await asyncio.start_unix_server(handle, SERVER + "-own")
    await asyncio.gather(*[client() for _ in range(3)])


HEALTHY = [
    with_semaphore,
    workers,
    shares,
    waits_for_tasks,
    waits_for_tasks_with_limit,
    waits_for_threads,
    waits_for_names,
    waits_for_threads_with_limit,
    as_they_come,
    batches,
    receiver,
    in_one_stream,
    messages,
    parts,
    sleeper,
    slow_poller,
    clients,
]


async def sequential():
    tasks = []
    for function in HEALTHY if is_healthy else TROUBLED:
        BEGAN[function.__name__] = []
        task = asyncio.ensure_future(function())
        task.set_name(function.__name__)
        tasks.append(task)
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def lines():
    """The lines with a comment on which task awaits what there."""
    with open(__file__) as file:
        marked = [(number, text.partition("# awaits: ")[2]) for number, text in enumerate(file, 1)]
    found = [[number] + text.split() for number, text in marked if len(text.split()) == 2]
    return {task: {"line": number, "callee": callee} for number, task, callee in found}


async def main():
    common.emit_ready({"kind": kind, "lines": lines()})
    await {"slow": slow, "leak": leak, "sequential": sequential}[kind]()


if kind == "sequential":
    is_there = threading.Event()
    threading.Thread(target=serve, args=(is_there,), daemon=True).start()
    is_there.wait()
common.watchdog(on_line=lambda line: common.emit(BEGAN))
asyncio.run(main())
