"""Trouble that only shows over time, and its healthy twin.

    overtime.py slow [--healthy]    a callback blocks its loop again and again at one line
    overtime.py leak [--healthy]    a service starts more and more tasks that never end

Prints READY and goes on until its standard input ends.
"""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

kind, is_healthy = sys.argv[1], "--healthy" in sys.argv


async def follow(client):
    await client.wait()


async def slow():
    while True:
        await asyncio.sleep(0.3)
        if is_healthy:
            time.sleep(0.03)
        else:
            time.sleep(0.15)  # slow


async def leak():
    tasks = set()
    while True:
        burst = [asyncio.ensure_future(follow(asyncio.Event())) for _ in range(10)]
        tasks.update(burst)
        await asyncio.sleep(0.1)
        if is_healthy:
            for task in burst:
                task.cancel()
            tasks.difference_update(burst)


async def main():
    common.emit_ready({"kind": kind})
    await {"slow": slow, "leak": leak}[kind]()


common.watchdog()
asyncio.run(main())
