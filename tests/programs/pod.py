"""A healthy service that needs half a core: some tasks parked, and one that works for 15 of 30 ms."""

import asyncio
import sys
import threading
import time


def handle():
    end = time.thread_time() + 0.015
    while time.thread_time() < end:
        pass


async def park(lock):
    async with lock:
        await asyncio.sleep(3600)


async def main():
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set_result, None)),
        daemon=True,
    ).start()
    lock = asyncio.Lock()
    parked = [loop.create_task(park(lock)) for _ in range(3)]
    print("READY", flush=True)
    while not ended.done():
        handle()
        await asyncio.sleep(0.015)
    for task in parked:
        task.cancel()


asyncio.run(main())
