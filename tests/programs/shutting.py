"""Comes to rest in one stage of its own end.

    shutting.py --stage none|cancel-all|asyncgens|default-executor|threads|pool|loop-thread
                [--loop asyncio|uvloop]

none and loop-thread are no end: with loop-thread the main thread has ended, and a loop in another
one runs on.

Prints one line of JSON, {stage, by, tasks, threads, function, line} with the frame that waits, and
then READY, from a daemon thread, as soon as the main thread is there.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import common
from common import FOREVER, GIVE_UP, address

parser = argparse.ArgumentParser()
parser.add_argument(
    "--stage",
    choices=["none", "cancel-all", "asyncgens", "default-executor", "threads", "pool", "loop-thread"],
    required=True,
)
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()

NAMES = {"threads": "interpreter-threads", "pool": "interpreter-threads"}
never = threading.Event()
kept = []
loops = []
held_by = []  # ids of the threads that hold the end
held_up = []  # ids of the tasks that do
has_begun = threading.Event()


def hold():
    held_by.append(threading.get_native_id())
    has_begun.set()
    never.wait()


async def refuses():
    while True:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            pass


async def obeys():
    await asyncio.sleep(FOREVER)


async def items():
    try:
        yield 1
    finally:
        held_up.append(address(asyncio.current_task()))
        await asyncio.sleep(FOREVER)


async def main():
    loop = asyncio.get_event_loop()
    loops.append(loop)
    if options.stage in ("none", "loop-thread"):
        await asyncio.sleep(FOREVER)
    elif options.stage == "cancel-all":
        held_up.extend(address(start(refuses())) for _ in range(2))
        start(obeys())
        await asyncio.sleep(0)
    elif options.stage == "asyncgens":
        kept.append(items())
        await kept[-1].__anext__()
    elif options.stage == "default-executor":
        kept.append(loop.run_in_executor(None, hold))
        has_begun.wait()
    elif options.stage == "threads":
        threading.Thread(target=hold).start()
    else:
        kept.append(ThreadPoolExecutor(2))
        kept.append(kept[-1].submit(hold))
        has_begun.wait()


def start(coroutine):
    kept.append(asyncio.ensure_future(coroutine))
    return kept[-1]


# The function of the main thread, or else of a task, that waits in the stage.
MAIN = {
    "cancel-all": "_cancel_all_tasks",
    "threads": "_shutdown",
    "pool": "_python_exit",
    "loop-thread": "_shutdown",
}
TASK = {"asyncgens": "shutdown_asyncgens", "default-executor": "shutdown_default_executor"}


def waiting_frame():
    """Where the end waits now, if it is there: (frame,) or (None,) where there is no such frame."""
    if options.stage in MAIN:
        frame = sys._current_frames()[threading.main_thread().ident]
        while frame is not None and frame.f_code.co_name != MAIN[options.stage]:
            frame = frame.f_back
        return frame and (frame,)
    for task in common.all_tasks(loops[0]) if loops else ():
        coroutine = task.get_coro()
        # An `aclose` has no name.
        if getattr(coroutine, "__name__", None) == TASK[options.stage]:
            if options.loop == "uvloop":
                return (close_frame(),)
            if task._fut_waiter is not None:
                return (coroutine.cr_frame,)
    return None


def close_frame():
    """uvloop's coroutines have no frame: the one of `Runner.close` stands for it."""
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame.f_code.co_name != "close":
        frame = frame.f_back
    return frame


def is_there():
    if options.stage == "none":
        return bool(loops) and common.is_polling(tid)
    if options.stage == "loop-thread":
        return bool(loops) and loops[0].is_running() and waiting_frame() is not None
    if options.stage in ("threads", "pool"):
        return has_begun.is_set() and waiting_frame() is not None
    if not loops or not common.is_polling(tid) or waiting_frame() is None:
        return False
    # Those that obey have ended, and those that do not have something to wait for again.
    pending = [task for task in common.all_tasks(loops[0]) if not task.done()]
    ids = [address(task) for task in pending]
    return (
        all(task._fut_waiter is not None for task in pending)
        and (options.stage == "default-executor" or bool(held_up))
        and all(one in ids for one in held_up)
        and (options.stage != "cancel-all" or len(ids) == len(held_up))
    )


def observe():
    give_up = time.monotonic() + GIVE_UP
    while not is_there():
        if time.monotonic() > give_up:
            sys.stderr.write("never came to its end\n")
            os._exit(1)
        time.sleep(0.001)
    if options.stage in ("none", "loop-thread"):
        common.emit_ready({"stage": None})
        return
    (frame,) = waiting_frame()
    is_last = options.stage in ("threads", "pool")
    common.emit_ready(
        {
            "stage": NAMES.get(options.stage, options.stage),
            "by": "interpreter" if is_last else "asyncio.run",
            "loop": None if is_last else address(loops[0]),
            "tasks": sorted(held_up),
            "threads": held_by,
            "function": frame.f_code.co_name,
            "line": frame.f_lineno,
        }
    )


tid = threading.get_native_id()
common.watchdog()
threading.Thread(target=observe, daemon=True).start()


def run():
    if options.loop == "asyncio":
        asyncio.run(main())
    else:
        common.run(options.loop, main())


if options.stage == "loop-thread":
    threading.Thread(target=run).start()
else:
    run()
