"""What the cases share: READY by their state, seen from a thread beside the loop, and their end.

A case is a public report's shape in a few lines, run with the real library at a version that has
the fault. Comments at its head say with what it is run and what must be told of it; they are
described in scripts/check-cases.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import asyncio
import multiprocessing
import socket
import threading
import time

import stage
from common import emit  # noqa: F401 (for the programs)
from stage import (  # noqa: F401
    FOREVER,
    asleep,
    keep,
    runs,
    silent_server,
    stands_at,
    stuck,
    syscall,
    threads_at,
    within,
)

if multiprocessing.parent_process() is None:  # a child has the same description of standard input
    stage.common.end_with_stdin()
ALARM = 1200  # seconds after which a child of a case ends that nobody has ended


def ready_when(reached, says=list, held_for=0.0):
    """READY once that has been so for so long; `says()` are words that the finding must have.

    No thread is left beside the loop.
    """
    stage.when(reached, expected=says, held_for=held_for, alone=True)


async def until(reached):
    """Goes on when that is so; ends the program if it never is."""
    give_up = time.monotonic() + stage.common.GIVE_UP
    try:
        while not reached():
            assert time.monotonic() < give_up, "never got so far:\n" + stage.describe()
            await asyncio.sleep(0.01)
    except AssertionError:
        stage.common.die()  # the loop's end may wait for what is stuck


def waiting(loop, mark):
    """How many tasks of a loop wait below a line; seen from another thread, while it sleeps."""
    if threading.get_native_id() != stage.MAIN_TID and not asleep():
        return 0
    return sum(stage.parked(task, mark) for task in asyncio.all_tasks(loop))


def peer(address):
    return "%s:%d" % address[:2]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
