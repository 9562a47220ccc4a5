"""Groups of tasks whose children all move, by gather, wait, as_completed and shield."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

rounds = [0]


async def child(number):
    for _ in range(5):
        await asyncio.sleep(0.001 * number)
    return number


async def gathering():
    while True:
        await asyncio.gather(*[child(n) for n in range(20)])
        rounds[0] += 1


async def waiting():
    while True:
        await asyncio.wait([asyncio.ensure_future(child(n)) for n in range(20)])


async def completing():
    while True:
        for next_one in asyncio.as_completed([child(n) for n in range(20)]):
            await next_one


async def shielding():
    while True:
        await asyncio.shield(child(3))


async def main():
    functions = [gathering, waiting, completing, shielding]
    tasks = [asyncio.create_task(function()) for function in functions]
    stage.when(lambda: rounds[0] > 2)
    await asyncio.wait(tasks)


stage.run(main())
