"""Tasks that have failed while others are awaited before them: each is looked at in its turn."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def fails():
    raise ValueError("bad record")


async def lasts():
    await asyncio.sleep(stage.FOREVER)


def start(*functions):
    return [asyncio.ensure_future(function()) for function in functions]


async def by_list():
    for task in start(lasts, fails):
        await task  # list


async def by_table():
    tasks = dict(zip("ab", start(lasts, fails)))
    for name, task in tasks.items():
        print(name, await task)  # table


async def by_variable():
    first, second = start(lasts, fails)
    await first  # variable
    await second


class Service:
    def __init__(self):
        self.reader, self.writer = start(lasts, fails)
        self.others = start(fails)

    async def run(self):
        await self.reader  # attribute
        await self.writer
        for other in self.others:
            await other


async def by_global():
    pending.extend(start(lasts, fails))
    await pending[0]  # global
    for task in pending:
        task.exception()


async def main():
    coroutines = {by_list(): "list", by_table(): "table", by_variable(): "variable"}
    coroutines.update({Service().run(): "attribute", by_global(): "global"})
    places = {asyncio.ensure_future(coro): mark for coro, mark in coroutines.items()}
    # Nobody has looked at what failed yet.
    stage.when(stage.resting(places), also=["exception-unretrieved"])
    await asyncio.wait(places)


pending = []
stage.run(main())
