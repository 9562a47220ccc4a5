"""A lock, a semaphore and a condition that change hands all the time."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

turns = [0]


async def with_lock(lock):
    while True:
        async with lock:
            turns[0] += 1
            await asyncio.sleep(0.0005)


async def with_semaphore(semaphore):
    while True:
        await semaphore.acquire()
        try:
            await asyncio.sleep(0.001)
        finally:
            semaphore.release()


async def with_condition(condition):
    while True:
        async with condition:
            condition.notify_all()
            await condition.wait()


async def main():
    lock, semaphore, condition = asyncio.Lock(), asyncio.Semaphore(3), asyncio.Condition()
    tasks = [asyncio.create_task(with_lock(lock)) for _ in range(20)]
    tasks += [asyncio.create_task(with_semaphore(semaphore)) for _ in range(20)]
    tasks += [asyncio.create_task(with_condition(condition)) for _ in range(2)]
    stage.when(lambda: turns[0] > 10)
    while True:
        await asyncio.sleep(0.001)
        async with condition:
            condition.notify_all()


stage.run(main())
