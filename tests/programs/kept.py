"""A loop that is kept by what is not its program: other processes, the garbage collector.

    kept.py crowded   short callbacks, on a processor that five other processes compute on, too
    kept.py computing callbacks that compute for too long by themselves, there
    kept.py gc        callbacks in which the garbage collector goes through millions of objects

Prints READY and goes on until its standard input ends.
"""

import asyncio
import gc
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

RIVALS = 5
kind = sys.argv[1]


def compute_on_my_processor():
    """Rivals that end with this process."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    parent = os.getpid()
    for _ in range(RIVALS):
        if os.fork() == 0:
            os.close(1)  # whoever reads what we print is not to wait for them
            while os.getppid() == parent:
                for _ in range(100000):
                    pass
            os._exit(0)


def compute(seconds):
    """For so long on a processor, however long that takes."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass  # computing


async def again_and_again(call, *arguments):
    common.watchdog()
    common.emit_ready({"pid": os.getpid()})
    while True:
        call(*arguments)
        await asyncio.sleep(0.05)


if kind == "gc":
    gc.disable()
    kept = [[number] for number in range(2500000)]
    gc.enable()
    main = again_and_again(gc.collect)
else:
    compute_on_my_processor()
    # asyncio calls a callback of 100 ms slow.
    main = again_and_again(compute, 0.05 if kind == "crowded" else 0.3)
asyncio.new_event_loop().run_until_complete(main)
