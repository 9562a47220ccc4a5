"""Threads that wait in a library of C, whose functions are known, and one that computes.

    native.py --library FILE [--loop asyncio|uvloop]

The loop's thread waits in it ("main"), a thread comes through it back to Python ("through"), others
sleep in Python's own C ("sleeper", "sorter"), one of them in a greenlet ("switcher"), and one runs
("runner").

Prints the truth (see common.py): for each thread its tid, and "stack": the functions that follow one
another on its stack, outermost first, each "python NAME" or "c NAME"; others may lie between. What is outside of a greenlet
is not known.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import ctypes
import os
import threading
import time

import common
from common import FOREVER

try:
    import greenlet
except ImportError:  # it wants a C++ library
    greenlet = None

parser = argparse.ArgumentParser()
parser.add_argument("--library", required=True)
parser.add_argument("--loop", default="asyncio")
options = parser.parse_args()

library = ctypes.CDLL(options.library)
reading, writing = os.pipe()
BACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


@BACK
def back(fd):
    return library.wait_inside(fd)


def through():
    library.call_back(back, reading)


def sleeper():
    time.sleep(FOREVER)


def key(item):
    time.sleep(FOREVER)
    return item


def sorter():
    sorted([2, 1], key=key)


def switcher():
    greenlet.greenlet(sleeper).switch()


def runner():
    while True:
        pass


async def main():
    tids = {"main": threading.get_native_id()}
    functions = [through, sleeper, sorter, runner]
    if greenlet is not None:
        functions.append(switcher)
    started = threading.Barrier(len(functions) + 1)

    def run(function):
        tids[function.__name__] = threading.get_native_id()
        started.wait()
        function()

    for function in functions:
        threading.Thread(target=run, args=(function,), daemon=True).start()
    started.wait()
    waiting = ["c wait_inside", "c wait_for_input", "c poll"]
    stacks = {
        "main": ["python main", *waiting],
        "through": ["python run", "python through", "c call_back", "python back", *waiting],
        "sleeper": ["python run", "python sleeper", "c sleep"],
        "sorter": ["python run", "python sorter", "python key", "c sleep"],
        "switcher": ["python sleeper", "c sleep"],
        "runner": None,
    }
    threads = {name: {"tid": tids[name], "stack": stacks[name]} for name in tids}
    common.emit({"pid": common.namespace_pid(), "threads": threads})
    common.ready()
    library.wait_inside(reading)


common.watchdog()
common.run(options.loop, main())
