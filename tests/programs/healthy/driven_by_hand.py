"""Coroutines that an awaitable of the program drives, as compiled code does: one holds a lock."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


class Driven:
    """Takes the steps of a coroutine itself, so that no chain of awaits leads to it."""

    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.coroutine.send(None)


async def refresh(lock):
    async with lock:
        await asyncio.sleep(stage.FOREVER)


async def holds(lock):
    await Driven(refresh(lock))  # driven


async def waits(lock):
    async with lock:  # waits
        pass


async def main():
    lock = asyncio.Lock()
    tasks = {asyncio.ensure_future(holds(lock)): "driven"}
    await asyncio.sleep(0)
    tasks.update({asyncio.ensure_future(waits(lock)): "waits" for _ in range(3)})
    stage.when(stage.resting(tasks))
    await asyncio.wait(tasks)


stage.run(main())
