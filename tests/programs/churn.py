"""A service that never rests: 200 parked tasks among tasks that come and go.

    churn.py [--parked N] [--rate TASKS_PER_MS] [--loop asyncio|uvloop]

Parked tasks "parked-0"... are 3 coroutines deep, each on its own future (even) or on one Event
(odd). The truth is about them and the two tasks "main" and "churn" (its frames aren't told:
they move). After READY a line "stats" on stdin prints, and resets, {"max_gap_ms": the longest
time between two 1 ms ticks of a heartbeat thread (the GIL's switch interval of 5 ms shows),
"gaps_over_20ms", "eintr": how often an epoll_wait in C was interrupted, "tasks_made",
"elapsed_ms"}. A machine that can't make so many tasks keeps the loop busy all the time.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import ctypes
import errno
import select
import threading
import time

import common
from common import Truth

parser = argparse.ArgumentParser()
parser.add_argument("--parked", type=int, default=200)
parser.add_argument("--rate", type=int, default=50)
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()

T = Truth(options.loop, "churn")


class Stats:
    def __init__(self):
        self.reset()

    def reset(self):
        self.since = time.monotonic()
        self.max_gap = 0.0
        self.gaps = 0
        self.eintr = 0
        self.tasks = 0

    def report(self):
        now = time.monotonic()
        value = {
            "max_gap_ms": round(self.max_gap * 1000, 3),
            "gaps_over_20ms": self.gaps,
            "eintr": self.eintr,
            "tasks_made": self.tasks,
            "elapsed_ms": round((now - self.since) * 1000, 3),
        }
        self.reset()
        common.emit(value)


stats = Stats()


def heartbeat():
    last = time.monotonic()
    while True:
        time.sleep(0.001)
        now = time.monotonic()
        gap = now - last
        last = now
        if gap > stats.max_gap:
            stats.max_gap = gap
        if gap > 0.020:
            stats.gaps += 1


def count_eintr():
    """A signal or a ptrace stop shows as EINTR here; Python's own calls would retry."""
    libc = ctypes.CDLL(None, use_errno=True)
    epoll = select.epoll()
    events = ctypes.create_string_buffer(12)
    while True:
        found = libc.epoll_wait(epoll.fileno(), events, 1, 50)
        if found < 0 and ctypes.get_errno() == errno.EINTR:
            stats.eintr += 1


async def wait_future(future):
    await future  # parked


async def wait_event(event):
    await event.wait()  # parked


async def middle(leaf):
    await leaf


async def outer(leaf):
    await middle(leaf)


async def finishes():
    return 1


async def yields_once():
    await asyncio.sleep(0)


async def sleeps():
    await asyncio.sleep(0.0005)


async def deep(depth):
    if depth:
        return await deep(depth - 1)
    await asyncio.sleep(0.002)


async def waits():
    await asyncio.get_event_loop().create_future()


async def children():
    await asyncio.gather(sleeps(), yields_once())


async def churn():
    loop = asyncio.get_event_loop()
    kinds = [finishes, yields_once, sleeps, waits, children, lambda: deep(4), waits, yields_once]
    to_cancel = []
    number = 0
    due = time.monotonic()
    while True:
        for task in to_cancel:
            task.cancel()
        to_cancel = []
        for _ in range(options.rate):
            number += 1
            kind = kinds[number % len(kinds)]
            task = loop.create_task(kind())
            if kind is waits:
                to_cancel.append(task)
        stats.tasks += options.rate
        now = time.monotonic()
        due = max(due + 0.001, now)
        await asyncio.sleep(due - now)


async def main():
    loop = asyncio.get_event_loop()
    T.loop(loop, threading.get_native_id())
    T.adopt("main", on="event")
    T.entries["main"].name = T.name_before_next()
    event = asyncio.Event()
    for n in range(options.parked):
        if n % 2:
            leaf, on, depth = wait_event(event), "event", 4
        else:
            leaf, on, depth = wait_future(loop.create_future()), "future", 3
        T.start("parked-{}".format(n), outer(leaf), on=on, depth=depth)
    loop.call_later(0.001, when_parked)
    await asyncio.Event().wait()  # parked


def when_parked():
    loop = asyncio.get_event_loop()
    if T.not_parked(blocking="churn") is not None:
        loop.call_later(0.001, when_parked)
        return
    try:
        truth = T.collect()
        T.keep.append(loop.create_task(churn(), name="churn"))
        for loop_truth in truth["loops"]:
            loop_truth["ready"] = loop_truth["scheduled"] = None
        truth["churn"] = common.address(T.keep[-1])
        for function in (heartbeat, count_eintr):
            threading.Thread(target=function, name=function.__name__, daemon=True).start()
        truth["threads"] = [
            {"tid": t.native_id, "name": t.name} for t in threading.enumerate()
        ]
        stats.reset()
        # Not before the churn has begun.
        loop.call_later(0.02, common.emit_ready, truth)
    except BaseException:
        common.die()


def on_line(line):
    if line == "stats":
        stats.report()


common.watchdog(on_line=on_line)
common.run(options.loop, main())
