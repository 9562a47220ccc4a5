"""Threads that hand coroutines to the loop and wait for their results."""

import asyncio
import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

done = [0]


async def query():
    await asyncio.sleep(0.005)
    return 42


def work(loop):
    while True:
        assert asyncio.run_coroutine_threadsafe(query(), loop).result() == 42
        done[0] += 1


async def main():
    loop = asyncio.get_running_loop()
    for _ in range(4):
        threading.Thread(target=work, args=(loop,), daemon=True).start()
    stage.when(lambda: done[0] > 10)
    await asyncio.Event().wait()


stage.run(main())
