"""Coroutines that are made at once and awaited in their turn, as many at a time as a limit allows."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def fetch(number):
    await asyncio.sleep(0.1)
    return number


async def limited(limit, coroutine):
    async with limit:
        return await coroutine


async def one_by_one():
    while True:
        coroutines = [fetch(number) for number in range(5)]
        for coroutine in coroutines:
            await coroutine
            rounds[0] += 1


async def many():
    while True:
        limit = asyncio.Semaphore(3)
        await asyncio.gather(*[limited(limit, fetch(number)) for number in range(30)])


async def main():
    tasks = [asyncio.create_task(function()) for function in (one_by_one, many)]
    stage.when(lambda: rounds[0] > 1)
    await asyncio.wait(tasks)


rounds = [0]
stage.run(main())
