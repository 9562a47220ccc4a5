"""What a search of the heap lists: coroutines, generators, futures, locks and their like.

    inventory.py [--healthy]

With --healthy there is none of it that is left over, and nothing of asyncio's but what two tasks use.

Prints one line of JSON, `counts` by what the garbage collector knows, the rest by construction:
  counts: {kind: count}
  owners: {id: [owner]}
  states: {id: {set, locked, free, items, waiting}}
  freed: [id]
and then READY.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import collections
import contextlib
import gc
import inspect
import threading
import time

import common
from common import FOREVER, address

IS_HEALTHY = "--healthy" in sys.argv
OWNERS = {}
STATES = {}


def note(thing, *owners, **state):
    OWNERS[address(thing)] = sorted(owners)
    if state:
        STATES[address(thing)] = state
    return thing


async def work(*arguments):
    await asyncio.sleep(FOREVER)


async def rows():
    for number in range(1_000_000):
        yield number


@contextlib.asynccontextmanager
async def opened():
    yield


class Gate(asyncio.Event):
    pass


class Slotted:
    __slots__ = ("lock", "other")


class Shop:
    STOCK = None

    def __init__(self):
        self.lock = note(asyncio.Lock(), "attribute __main__.Shop.lock", "attribute asyncio.locks.Condition._lock", "stack", "stack", locked=1, waiting=2)
        self.gate = note(Gate(), "attribute __main__.Shop.gate", set=0, waiting=1)
        self.changed = asyncio.Condition(self.lock)
        note(self.changed, "attribute __main__.Shop.changed", "stack", "variable condition", locked=1, waiting=1)
        self.audit = note(work(), "attribute __main__.Shop.audit")
        self.jobs = [work() for _ in range(40)]
        for job in self.jobs:
            note(job, "attribute __main__.Shop.jobs through list")
        self.failed = asyncio.get_event_loop().create_future()
        self.failed.set_exception(ValueError("much too secret"))
        note(self.failed, "attribute __main__.Shop.failed")
        self.by_name = {"orders": asyncio.Queue(5), "x1": asyncio.LifoQueue()}
        note(self.by_name["orders"], "attribute __main__.Shop.by_name through dict key orders", items=3, waiting=0)
        note(self.by_name["x1"], "attribute __main__.Shop.by_name through dict", items=0, waiting=1)


async def holds(shop, asked):
    async with shop.lock:
        asked.set()
        await asyncio.sleep(FOREVER)


async def takes(shop):
    async with shop.lock:
        pass


async def changes(condition, asked):
    async with condition:
        asked.set()
        await condition.wait()


async def iterates(asked):
    async for _ in rows():
        asked.set()
        await asyncio.sleep(FOREVER)


async def enters(asked):
    async with opened():
        asked.set()
        await asyncio.sleep(FOREVER)


async def waits_alone():
    await note(asyncio.Event(), set=0, waiting=1).wait()


async def has_variable(asked):
    budget = note(asyncio.BoundedSemaphore(4), "variable budget", free=3, waiting=0)
    await budget.acquire()

    def inner():
        return shared

    shared = note(asyncio.Semaphore(0), "closure has_variable.<locals>.inner", "variable shared", free=0, waiting=0)
    asked.set()
    await asyncio.sleep(FOREVER)
    return budget, inner


def on_thread(function, *arguments):
    """Starts a thread and waits until it has come to where it stays."""
    there = threading.Event()
    threading.Thread(target=function, args=(there,) + arguments, daemon=True).start()
    there.wait()


def hands_over(there, coroutine, loop):
    there.set()
    time.sleep(FOREVER)
    asyncio.run_coroutine_threadsafe(coroutine, loop)


def makes_task(there):
    def factory(loop, coro, **_):
        there.set()
        time.sleep(FOREVER)

    loop = asyncio.new_event_loop()
    loop.set_task_factory(factory)
    loop.create_task(work())


def forgets(there):
    forgotten = note(work(), "variable forgotten")
    there.set()
    time.sleep(FOREVER)
    del forgotten


def is_open(generator):
    frame = generator.ag_frame
    return frame is not None and frame.f_lasti >= 0 and not generator.ag_running


def counts(started, iterated):
    """How many there are by what the garbage collector knows, without those of the healthy."""
    gc.collect()
    objects = gc.get_objects()
    tasks = [thing for thing in objects if isinstance(thing, asyncio.Task)]
    of_tasks = {id(task.get_coro()) for task in tasks}
    found = {
        "never-started": sum(
            1 for it in objects
            if inspect.iscoroutine(it) and id(it) not in of_tasks and inspect.getcoroutinestate(it) == "CORO_CREATED"
        ) - started,
        "open-generator": sum(1 for it in objects if inspect.isasyncgen(it) and is_open(it)) - iterated,
    }
    listed = set(map(id, asyncio.all_tasks())) if sys.version_info >= (3, 14) else set(map(id, tasks))
    found["failed-future"] = sum(
        1 for it in objects
        if isinstance(it, asyncio.Future) and id(it) not in listed and it.done() and it._log_traceback
    )
    for kind in "Event", "Lock", "Semaphore", "Condition", "Queue":
        found[kind.lower()] = sum(1 for it in objects if isinstance(it, getattr(asyncio, kind)))
    return found


async def step(things):
    """Starts tasks and waits until each has come to where it stays."""
    tasks = []
    for make in things:
        asked = asyncio.Event()
        tasks.append(asyncio.ensure_future(make(asked)))
        await asked.wait()
    return tasks


async def main():
    global LEFT, SLOTTED, RECENT, STARTED
    if IS_HEALTHY:
        tasks = await step([iterates, enters])
        on_thread(hands_over, work(), asyncio.get_event_loop())
        on_thread(makes_task)
        await asyncio.sleep(0.01)
        common.watchdog()
        common.emit_ready({"counts": counts(2, 2), "owners": {}, "states": {}, "freed": []})
        await asyncio.wait(tasks)
        return
    freed = []
    for make in asyncio.Event, asyncio.Lock, asyncio.Queue, work, rows:
        many = [make() for _ in range(500)]
        if make is work:
            for coroutine in many:
                coroutine.close()
        freed += map(address, many)
        del many
    if "coroutine" in locals():
        del coroutine
    shop = Shop()
    Shop.STOCK = note(asyncio.PriorityQueue(), "attribute __main__.Shop.STOCK", items=1, waiting=0)
    Shop.STOCK.put_nowait(1)
    for number in range(3):
        shop.by_name["orders"].put_nowait(number)
    tasks = await step([lambda asked: changes(shop.changed, asked), lambda asked: holds(shop, asked)])
    tasks += await step([iterates, enters, has_variable])
    for coroutine in takes(shop), takes(shop), shop.gate.wait(), shop.by_name["x1"].get(), waits_alone():
        tasks.append(asyncio.ensure_future(coroutine))
    del coroutine
    SLOTTED = Slotted()
    SLOTTED.lock = note(asyncio.Lock(), "attribute __main__.Slotted.lock", locked=0, waiting=0)
    SLOTTED.other = None
    RECENT = collections.deque([note(asyncio.Event(), "global __main__.RECENT through deque", set=1, waiting=0)])
    RECENT[0].set()
    LEFT = note(rows(), "global __main__.LEFT")
    await LEFT.__anext__()
    STARTED = note(asyncio.Event(), "global __main__.STARTED", set=1, waiting=0)
    STARTED.set()
    pending = {note(work(), "variable pending through set")}
    argument = work(note(asyncio.Event(), "variable arguments through tuple", set=0, waiting=0))
    note(argument, "variable argument")
    await asyncio.sleep(0.01)
    on_thread(forgets)
    found = counts(0, 2)
    # What was freed may have been used again.
    alive = set(map(address, gc.get_objects()))
    freed = [at for at in set(freed) if at not in alive]
    common.watchdog()
    common.emit_ready({"counts": found, "owners": OWNERS, "states": STATES, "freed": freed})
    await asyncio.wait(tasks)
    return pending, argument


asyncio.run(main())
