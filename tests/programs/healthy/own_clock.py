"""A loop with a clock of its own, five minutes slow: what is due in it nobody knows from outside.

Its callbacks hold it for some milliseconds, well below what is too long.
"""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

if stage.options.uvloop:
    import uvloop

    Loop = uvloop.Loop
else:
    Loop = asyncio.SelectorEventLoop


class Slow:
    def time(self):
        return super().time() - 300


class SlowLoop(Slow, Loop):
    pass


calls = [0]


async def log():
    while True:
        time.sleep(0.015)
        calls[0] += 1
        await asyncio.sleep(0.005)


async def main():
    limited = asyncio.create_task(asyncio.wait_for(asyncio.Event().wait(), 60))
    tasks = [asyncio.create_task(log()) for _ in range(2)]
    stage.when(lambda: calls[0] > 10)
    await asyncio.wait([*tasks, limited])


SlowLoop().run_until_complete(main())
