"""What may happen to a program that is watched for long.

    enduring.py loops           runs one loop after the other, each of which is blocked once
    enduring.py fork            forks children that block copies of its loop, and outlive it
    enduring.py forked          is a fork itself: its truth has the `pid` of the child that runs on
    enduring.py multiprocessing has children of each kind, with loops of their own
    enduring.py atexit|thread|teardown
                                blocks its loop, leaves it, and takes 0.8 s to end
    enduring.py blocked         blocks its loop for good
    enduring.py busy            never sleeps, in short callbacks
    enduring.py signals         ends with 5 at SIGTERM, with 6 at SIGINT

Prints READY, and begins after a line "go" on its standard input; loops, fork and
multiprocessing print at their end one line of JSON with the blocks of the program's own loops:
beginning and end by CLOCK_MONOTONIC.
"""

import asyncio
import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

LOOPS = 6
started = threading.Event()
blocks = []
ended = []


class EndsLate:
    """Goes with the last modules, when the interpreter is not one any more."""

    def __del__(self, sleep=time.sleep):
        sleep(0.8)


def block(seconds):
    began = time.monotonic()
    time.sleep(seconds)
    blocks.append({"began": began, "ended": time.monotonic()})


async def rest(seconds=0.01):
    await asyncio.sleep(seconds)


async def until_started():
    while not started.is_set():
        await asyncio.sleep(0.005)


async def one_of_many():
    others = [asyncio.ensure_future(rest()) for _ in range(5)]
    await rest(0.02)
    block(0.2)
    await rest(0.02)
    await asyncio.gather(*others)


def loops():
    asyncio.run(until_started())
    for _ in range(LOOPS):
        asyncio.run(one_of_many())
    common.emit(blocks)


async def fork():
    await until_started()
    for lives in (0.1, 0.1, 2):
        # As a callback of its own: what the child does is done in the middle of the loop.
        if os.fork() == 0:
            time.sleep(lives)
            os._exit(0)
        await asyncio.sleep(0.15)
    block(0.2)
    await asyncio.sleep(0.1)
    common.emit(blocks)


async def blocked_child():
    await asyncio.sleep(0.01)
    time.sleep(0.3)


def child():
    asyncio.run(blocked_child())


def have_children():
    contexts = [multiprocessing.get_context(m) for m in ("fork", "spawn", "forkserver")]
    children = [context.Process(target=child, daemon=True) for context in contexts]
    for process in children:
        process.start()
    for process in children:
        process.join()
        ended.append(process.exitcode)


async def parent():
    await until_started()
    # In a thread, as starting them takes long; a fork of one of a pool would wait for itself.
    thread = threading.Thread(target=have_children)
    thread.start()
    while thread.is_alive():
        await rest()
    assert ended == [0, 0, 0], ended
    block(0.2)
    await asyncio.sleep(0.1)
    common.emit(blocks)


async def forked():
    common.emit_ready({"pid": os.getpid()})
    await until_started()
    block(0.4)
    await asyncio.sleep(0.3)


async def last():
    await until_started()
    block(0.4)
    await asyncio.sleep(0.2)


async def blocked():
    await until_started()
    time.sleep(common.FOREVER)


async def busy():
    while True:
        until = time.monotonic() + 0.002
        while time.monotonic() < until:
            pass
        await asyncio.sleep(0)


async def signals():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    common.ready()
    await stop.wait()


LOOPS_OF = {
    "fork": fork,
    "forked": forked,
    "multiprocessing": parent,
    "blocked": blocked,
    "busy": busy,
}


def on_line(line):
    if line == "go":
        started.set()


def main(kind):
    if kind == "forked":
        child = os.fork()
        if child:
            sys.exit(os.waitpid(child, 0)[1])
    common.watchdog(on_line=on_line)
    if kind == "signals":
        try:
            asyncio.run(signals())
        except KeyboardInterrupt:
            sys.exit(6)
        sys.exit(5)
    if kind != "forked":
        common.emit_ready({"kind": kind})
    if kind == "loops":
        loops()
    elif kind in ("atexit", "thread", "teardown"):
        asyncio.run(last())
        if kind == "atexit":
            atexit.register(time.sleep, 0.8)
        elif kind == "thread":
            threading.Thread(target=time.sleep, args=(0.8,)).start()
        else:
            sys.kept = EndsLate()
    else:
        asyncio.run(LOOPS_OF[kind]())



if __name__ == "__main__":
    main(sys.argv[1])
