"""A task waits for a call in a thread of the program's own, which does not end: no pool has it.

The thread takes futures and functions from a queue, as aiosqlite's does. With --kind over the call
has ended, and the loop is blocked before it has set the result.
"""

import asyncio
import functools
import queue
import socket
import threading
import time

import stage


def lookup(server):
    with socket.create_connection(server) as connection:
        return connection.recv(100)  # culprit


def serve(calls):
    while True:
        future, function = calls.get()
        result = function()
        future.get_loop().call_soon_threadsafe(future.set_result, result)
        done.set()


async def call(function, *args):
    future = asyncio.get_running_loop().create_future()
    calls.put((future, functools.partial(function, *args)))
    return await future  # waiting


def block():
    done.wait()
    if stage.kind.startswith("over"):
        time.sleep(stage.FOREVER)  # blocked


async def main():
    threading.Thread(target=serve, args=(calls,), daemon=True).start()
    if stage.healthy:
        stage.when(lambda: True)
        while True:
            await call(time.sleep, 0.001)
    loop = asyncio.get_running_loop()
    if stage.kind.startswith("over"):
        task = asyncio.create_task(call(int), name="handler")
        await asyncio.sleep(0)
        loop.call_soon(block)
        stage.when(
            lambda: stage.stuck("blocked"),
            lambda: [stage.finding("loop-blocked", "critical", at="blocked")],
            waiting=lambda: [stage.waits(task, "future")],
            held_for=1.1,
        )
    else:
        task = asyncio.create_task(call(lookup, stage.silent_server()), name="handler")
        loop.call_later(3600, print)
        parked = stage.resting({task: "waiting"})
        found = lambda: stage.finding("executor-job-stuck", "warning", [task], "culprit", says=["lookup"])
        stage.when(
            lambda: parked() and stage.threads_at("culprit") == 1,
            lambda: [found()],
            waiting=lambda: [stage.waits(task, "executor")],
            held_for=stage.STUCK,
        )
    await task


done = threading.Event()
calls = queue.Queue() if stage.kind.endswith("queue") else queue.SimpleQueue()
stage.run(main())
