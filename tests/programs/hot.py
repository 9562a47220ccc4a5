"""Threads that never wait, beside a loop with ten parked tasks.

    hot.py --threads N [--loop asyncio|uvloop]

Each thread runs a recursive pure-Python function: frames come and go all the time. Truth: the
parked tasks, and the names of the threads ("hot-0"...), whose stacks consist of the functions
in "hot_functions" above threading's own.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import threading

import common
from common import FOREVER, Truth

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()

T = Truth(options.loop, "hot")


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def generated(n):
    if n:
        yield n
        yield from generated(n - 1)


def hot():
    while True:
        fibonacci(12)
        sum(generated(12))
        [str(n) for n in range(20)]


async def leaf():
    await asyncio.sleep(FOREVER)  # parked


async def middle():
    await leaf()


async def outer():
    await middle()


async def main():
    T.loop(asyncio.get_event_loop(), threading.get_native_id())
    T.adopt("main", on="event")
    T.entries["main"].name = T.name_before_next()
    for n in range(10):
        T.start("parked-{}".format(n), outer(), on="timer", depth=4)
    made.set()
    await asyncio.Event().wait()  # parked


made = threading.Event()


def print_then_run_hot():
    made.wait()
    truth = T.wait_parked()
    threads = [
        threading.Thread(target=hot, name="hot-{}".format(n), daemon=True)
        for n in range(options.threads)
    ]
    for thread in threads:
        thread.start()
    truth["threads"] += [{"tid": t.native_id, "name": t.name} for t in threads]
    truth["hot_functions"] = ["hot", "fibonacci", "generated", "<listcomp>"]
    common.emit_ready(truth)


common.watchdog(before=print_then_run_hot)
common.run(options.loop, main())
