"""A task inside its first, eager step blocks the loop. CPython 3.12+; else prints UNSUPPORTED.

    eager.py [--how start|factory|nested|pure] [--loop asyncio|uvloop]

start: asyncio.Task(eager_start=True). factory: through eager_task_factory and create_task.
nested: an eager task made by an eager task. pure: the pure-Python task.
The eager task runs on top of the task that made it: both are "running", and the innermost one
is "current". Each has the frames of the thread's stack that lie between its own coroutine and
the next task's. Truth as in common.py; tid and frames (the whole live stack) besides.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import threading
import time

import common
from common import FOREVER, Truth

parser = argparse.ArgumentParser()
parser.add_argument("--how", choices=["start", "factory", "nested", "pure"], default="start")
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()

T = Truth(options.loop, "eager")


async def leaf():
    await asyncio.sleep(FOREVER)  # parked


async def parked():
    await leaf()


def print_truth(_):
    frame = sys._getframe(1)
    tasks = T.keep  # outermost first; all but the first one eager
    live = []
    top = frame
    for key in reversed(tasks):
        live.append((key, top))
        root = T.entries[key].coro.cr_frame
        while top is not root:
            top = top.f_back
        top = top.f_back
    truth = T.collect(live=live)
    truth.update(
        how=options.how,
        tid=threading.get_native_id(),
        frames=common.describe_thread_frames(frame),
        task=truth["tasks"][-1]["id"],
    )
    common.emit_ready(truth)


def block():
    for call, argument in ((print_truth, None), (time.sleep, 3600)):
        call(argument)


async def blocker_inner():
    block()


async def blocker():
    adopt("blocker")
    try:
        await blocker_inner()
    except BaseException:
        common.die()


async def between():
    adopt("between")
    start_eager(blocker(), "blocker")


def adopt(key):
    task = common.current_task()
    if options.how == "pure" and hasattr(asyncio.tasks, "_py_current_task"):
        task = asyncio.tasks._py_current_task()
    # A task from a factory is named after its eager step, before 3.14 and by uvloop.
    if options.how == "factory" and (options.loop == "uvloop" or sys.version_info < (3, 14)):
        T.add(key, task, eager=True, default_name=True)
    else:
        T.add(key, task, eager=True, name=key)
    T.keep.append(key)


def start_eager(coro, name):
    loop = asyncio.get_event_loop()
    if options.how == "factory":
        return loop.create_task(coro, name=name)
    if options.how == "pure":
        return asyncio.tasks._PyTask(coro, loop=loop, name=name, eager_start=True)
    return asyncio.Task(coro, loop=loop, name=name, eager_start=True)


def factory(loop, coro, **kwargs):
    kwargs["eager_start"] = True
    return asyncio.Task(coro, loop=loop, **kwargs)


async def main():
    loop = asyncio.get_event_loop()
    tid = threading.get_native_id()
    T.loop(loop, tid)
    T.adopt("main")
    T.entries["main"].name = T.name_before_next()
    T.keep.append("main")
    for n in range(3):
        T.start("parked-{}".format(n), parked(), on="timer", depth=3)
    while T.not_parked(blocking="main") is not None:
        await asyncio.sleep(0)
    if options.how == "factory":
        # uvloop 0.23 breaks asyncio's own on 3.13.0.
        loop.set_task_factory(
            factory if options.loop == "uvloop" else asyncio.eager_task_factory
        )
    try:
        if options.how == "nested":
            start_eager(between(), "between")
        else:
            start_eager(blocker(), "blocker")
    except BaseException:
        common.die()


common.watchdog()
if sys.version_info < (3, 12):
    print("UNSUPPORTED", flush=True)
else:
    common.run(options.loop, main())
