"""N idle tasks, each DEPTH coroutines deep (the innermost included).

    many.py N DEPTH [--wait sleep|future|shared] [--loop asyncio|uvloop]

Task k is named "task-k". With --wait sleep, asyncio.sleep is one more frame, below DEPTH own
ones; with --wait future there are exactly DEPTH frames, and with --wait shared all wait for the
same future. Prints {"pid", "tid", "tasks": N,
"main": id of one more task that runs main, "depth", "frames": the functions of each task's
frames, outermost first}.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import gc
import os
import threading

import common
from common import FOREVER

parser = argparse.ArgumentParser()
parser.add_argument("tasks", type=int)
parser.add_argument("depth", type=int)
parser.add_argument("--wait", choices=["sleep", "future", "shared"], default="sleep")
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()

waiting = 0
shared = None


async def level(depth):
    if depth > 1:
        await level(depth - 1)
    else:
        await leaf()


async def leaf():
    global waiting
    waiting += 1
    if options.wait == "sleep":
        await asyncio.sleep(FOREVER)
    elif options.wait == "shared":
        await shared
    else:
        await asyncio.get_event_loop().create_future()


async def main():
    global shared
    loop = asyncio.get_event_loop()
    shared = loop.create_future()
    depth = options.depth
    tasks = []
    for n in range(options.tasks):
        coro = level(depth - 1) if depth > 1 else leaf()
        tasks.append(loop.create_task(coro, name="task-{}".format(n)))
    while waiting < options.tasks:
        await asyncio.sleep(0)
    functions = ["level"] * (depth - 1) + ["leaf"] + ["sleep"] * (options.wait == "sleep")
    truth.update(
        pid=os.getpid(),
        tid=threading.get_native_id(),
        python=common.python_version(),
        loop_impl=options.loop,
        tasks=options.tasks,
        main=common.address(common.current_task()),
        loop=common.address(loop),
        depth=depth,
        frames=functions,
    )
    made.set()
    await asyncio.Event().wait()


truth = {}
made = threading.Event()


def print_when_idle():
    made.wait()
    common.emit_ready_when_polling(truth["tid"], truth)


gc.disable()
common.watchdog(before=print_when_idle)
common.run(options.loop, main())
