"""A process that goes away while it is looked at.

    exiting.py [--how clean|exit|kill|abort|exec|crash] [--after-ms N | --random-ms N]
               [--tasks N] [--loop asyncio|uvloop]

Goes when a line arrives on stdin, or N ms after READY, or at a random moment within N ms.
clean: main returns, asyncio cancels all tasks and the interpreter is finalized, which takes
a while; exit: os._exit; kill: SIGKILL; abort: SIGABRT; exec: the same PID becomes plain.py (a
second READY follows); crash: an exception leaves main. Prints {"pid", "tid", "tasks"} first.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import os
import random
import signal
import threading

import common
from common import FOREVER

parser = argparse.ArgumentParser()
parser.add_argument(
    "--how", choices=["clean", "exit", "kill", "abort", "exec", "crash"], default="clean"
)
parser.add_argument("--after-ms", type=float)
parser.add_argument("--random-ms", type=float)
parser.add_argument("--tasks", type=int, default=100)
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()


async def leaf():
    await asyncio.sleep(FOREVER)


async def outer():
    await leaf()


def leave():
    if options.how == "exit":
        os._exit(0)
    elif options.how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif options.how == "abort":
        os.kill(os.getpid(), signal.SIGABRT)
    elif options.how == "exec":
        plain = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plain.py")
        os.execv(sys.executable, [sys.executable, plain])
    leaving.set()


async def main():
    global leaving
    leaving = asyncio.Event()
    loop = asyncio.get_event_loop()
    tasks = [
        loop.create_task(outer(), name="task-{}".format(n)) for n in range(options.tasks)
    ]
    while any(task._fut_waiter is None for task in tasks):
        await asyncio.sleep(0)

    def on_line(_):
        if options.how in ("clean", "crash"):
            loop.call_soon_threadsafe(leave)
        else:
            leave()

    def print_when_idle():
        value = {"pid": os.getpid(), "tid": tid, "tasks": options.tasks, "how": options.how}
        common.emit_ready_when_polling(tid, value)
        loop.call_soon_threadsafe(set_timer)

    def set_timer():
        if options.after_ms is not None:
            loop.call_later(options.after_ms / 1000, leave)
        if options.random_ms is not None:
            loop.call_later(random.random() * options.random_ms / 1000, leave)

    tid = threading.get_native_id()
    common.watchdog(before=print_when_idle, on_line=on_line)
    await leaving.wait()
    if options.how == "crash":
        raise SystemExit(3)


common.run(options.loop, main())
