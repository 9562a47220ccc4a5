"""Generators that context managers drive: in blocks, by hand, in exit stacks, kept in attributes."""

import asyncio
import contextlib
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


@contextlib.asynccontextmanager
async def session(name):
    await asyncio.sleep(0)
    yield name


class Closing:
    """`contextlib.aclosing`, which came with 3.10."""

    def __init__(self, generator):
        self.generator = generator

    async def __aenter__(self):
        return self.generator

    async def __aexit__(self, *exc_info):
        await self.generator.aclose()


async def ticks():
    while True:
        yield 1
        await asyncio.sleep(0.01)


class Subscription:
    """What it iterates is asked for one item at a time, by whoever calls."""

    def __init__(self):
        self.items = ticks()

    async def next(self):
        return await self.items.__anext__()


async def in_block():
    async with session("block"), session("another"):
        await asyncio.sleep(stage.FOREVER)  # block


async def by_hand():
    manager = session("by hand")
    await manager.__aenter__()
    try:
        await asyncio.sleep(stage.FOREVER)  # by hand
    finally:
        await manager.__aexit__(None, None, None)


async def by_method():
    manager = session("by method")
    await manager.__aenter__()
    leave = manager.__aexit__
    del manager
    await asyncio.sleep(stage.FOREVER)  # by method
    await leave(None, None, None)


async def in_stack():
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(session("stack"))
        async with contextlib.AsyncExitStack() as inner:
            await inner.enter_async_context(session("inner"))
            kept.append(inner.pop_all())
        await asyncio.sleep(stage.FOREVER)  # stack


async def left_early():
    async with Closing(ticks()) as items:
        async for _ in items:
            break
        await asyncio.sleep(stage.FOREVER)  # left early


async def subscribed():
    subscription = Subscription()
    kept.append(subscription)
    await subscription.next()
    await asyncio.sleep(stage.FOREVER)  # subscribed


async def steps():
    subscription = Subscription()
    while True:
        await subscription.next()


kept = []


async def main():
    places = {in_block: "block", by_hand: "by hand", by_method: "by method", in_stack: "stack"}
    places.update({left_early: "left early", subscribed: "subscribed"})
    tasks = {asyncio.ensure_future(start()): mark for start, mark in places.items()}
    stepping = asyncio.ensure_future(steps())
    stage.when(lambda: all(stage.parked(task, mark) for task, mark in tasks.items()))
    await asyncio.wait([*tasks, stepping])


stage.run(main())
