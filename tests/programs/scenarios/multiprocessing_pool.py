"""A `multiprocessing.Pool` whose calls never end, waited for in a thread.

forked: its processes want a lock that another thread held when they were forked. killed: the process
that ran a call was killed; another one takes its place, and the call is lost.

The healthy twin computes, by `map`, `apply` and `imap`, the last of items that come slowly.
"""

import asyncio
import multiprocessing
import os
import signal
import time

import stage
from children import FUTEX, READ, call_of, compute, end_with, hold_lock, lock


def forked(number):
    with lock:  # culprit_forked
        return number


def killed(_):
    os.kill(os.getpid(), signal.SIGKILL)


async def handler(call, *arguments):
    while True:
        await asyncio.get_running_loop().run_in_executor(None, call, *arguments)  # waiting


def slowly():
    for number in range(10**9):
        time.sleep(0.5)
        yield number


def drain(pool):
    for _ in pool.imap(compute, slowly()):
        pass


async def main():
    kind = stage.kind or "forked"
    if kind == "forked" and not stage.healthy:
        hold_lock()
    make = multiprocessing.get_context("fork").Pool
    pool = make(2, end_with, (os.getpid(),))
    stage.keep(pool)
    before = [process.pid for process in pool._pool]
    if stage.healthy:
        # A pool takes all items of one call before it looks at the next.
        another = make(2, end_with, (os.getpid(),))
        stage.keep(another)
        calls = [(pool.map, compute, range(7)), (pool.apply, compute, (1,)), (drain, another)]
        tasks = [asyncio.create_task(handler(*call)) for call in calls]
        stage.when(lambda: True, also=["executor-saturated", "executor-job-stuck"])
        await asyncio.wait(tasks)
    arguments = (pool.map, forked, range(8)) if kind == "forked" else (pool.apply, killed, (1,))
    task = asyncio.create_task(handler(*arguments), name="handler")
    parked = stage.resting({task: "waiting"})

    def calls_of_processes():
        return sorted(call_of(process.pid) for process in list(pool._pool))

    def reached():
        if kind == "forked":
            return calls_of_processes() == [FUTEX, FUTEX]
        now = [process.pid for process in list(pool._pool)]
        # One of two that are idle reads, and the other one waits for its turn to do so.
        return now != before and calls_of_processes() == sorted([FUTEX, READ])

    places = ["culprit_forked"] if kind == "forked" else []
    word = "fork" if kind == "forked" else "lost"
    stage.when(
        lambda: parked() and reached(),
        lambda: [stage.finding("executor-saturated", "critical", [task], places, word)],
        held_for=0.3,
    )
    await asyncio.wait([task])


stage.run(main())
