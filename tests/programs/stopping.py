"""A service that ends at SIGTERM in a way of its own, and logs when it did what.

    stopping.py clean      its tasks end at once
    stopping.py swallow    a consumer takes its cancellation for one more error, and never ends
    stopping.py slow       a task cleans up for 700 ms
    stopping.py executor   a call in the default executor runs on for 1.5 s
    stopping.py deaf       it does not mind the signal

Prints READY, and what it did when as one line of JSON, in seconds since the epoch, at its end;
`deaf`, which has none, at each signal.
"""

import atexit
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

log = {}
# Handlers run in reverse: this one behind that which waits for the threads of pools, in 3.8.
atexit.register(lambda: print(json.dumps(log), flush=True))

import asyncio

import common

kind = sys.argv[1]


async def consumer(queue):
    while True:
        try:
            await queue.get()
        except asyncio.CancelledError:  # eaten
            if kind != "swallow":
                raise


async def cleaner():
    try:
        await asyncio.Event().wait()
    finally:
        log["cancelled"] = time.time()
        if kind == "slow":
            await asyncio.sleep(0.7)
        log["cleaned"] = time.time()


def job():
    while "handled" not in log:
        time.sleep(0.001)
    time.sleep(1.5)
    log["job_ended"] = time.time()


async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle():
        log["handled"] = time.time()
        if kind == "deaf":
            print(json.dumps(log), flush=True)
        else:
            stop.set()

    loop.add_signal_handler(signal.SIGTERM, handle)
    tasks = [asyncio.ensure_future(consumer(asyncio.Queue())), asyncio.ensure_future(cleaner())]
    for task, name in zip(tasks, ("consumer", "cleaner")):
        if sys.version_info >= (3, 8):
            task.set_name(name)
    if kind == "executor":
        loop.run_in_executor(None, job)
    await asyncio.sleep(0)
    common.emit_ready({"consumer": hex(id(tasks[0])), "cleaner": hex(id(tasks[1]))})
    await stop.wait()


common.watchdog()
asyncio.run(main())
