"""What a program may leave behind, each with a healthy twin.

    leftovers.py [--loop asyncio|uvloop] [--blocked]

With --blocked, the loop is blocked in the step of a task, before others have heard of what failed.

Prints one line of JSON, all true by construction:
  never_awaited: [{id, coroutine, line, variable, frame: line, in: task id or null, tid}]
  unretrieved: [{id, exception, message, file, line, coroutine}]
  generators: {id: {line, in_use}}
  references: {id: count}
and then READY.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import contextlib
import os
import threading
import time

import common
from common import FOREVER, address

parser = argparse.ArgumentParser()
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
parser.add_argument("--blocked", action="store_true")
options = parser.parse_args()

never_awaited = []
unretrieved = []
generators = {}
kept = []


def here(back=1):
    """The line of the caller, or of the one that many calls above it."""
    return sys._getframe(back).f_lineno


# --- coroutines -----------------------------------------------------------------------------


async def work(n=0):
    await asyncio.sleep(FOREVER)


WORK_LINE = work.__code__.co_firstlineno


def note(coroutine, line, task=None, tid=None):
    never_awaited.append(
        {
            "id": address(coroutine),
            "coroutine": "work",
            "line": WORK_LINE,
            "variable": "forgotten",
            "frame": line,
            "task": address(task),
            "tid": tid,
        }
    )


def made(task, line, tid=None):
    coroutine = work()
    note(coroutine, line, task, tid)
    return coroutine


async def forgets():
    forgotten = made(common.current_task(), here() + 1)
    await asyncio.sleep(FOREVER)


async def awaits_later(coroutine, semaphore):
    async with semaphore:
        await coroutine


async def starts_one_by_one(semaphore):
    for coroutine in [work(1), work(2)]:
        await semaphore.acquire()
        kept.append(asyncio.ensure_future(coroutine))


async def has_given_it_away():
    given = work(3)
    kept.append(given)
    del given
    taken = kept[-1]
    await asyncio.sleep(FOREVER)


async def uses_it_in_a_closure():
    later = work(4)

    async def inner():
        await later

    await asyncio.sleep(FOREVER)
    await inner()


def blocks(ready):
    forgotten = made(None, here() + 2, threading.get_native_id())
    ready.set()
    time.sleep(FOREVER)


# --- exceptions -----------------------------------------------------------------------------


class Refused(Exception):
    pass


def refuse(error):
    raise error


REFUSE_LINE = refuse.__code__.co_firstlineno + 1


async def fails(error):
    await asyncio.sleep(0)
    refuse(error)


def note_failed(task, error, coroutine="fails"):
    unretrieved.append(
        {
            "id": address(task),
            "exception": common.class_name(error).replace("builtins.", ""),
            "message": str(error),
            "file": coroutine and os.path.basename(__file__),
            "line": coroutine and REFUSE_LINE,
            "coroutine": coroutine,
        }
    )


def failed(error):
    """A task that fails, and what is to be said of it."""
    task = asyncio.ensure_future(fails(error))
    note_failed(task, error)
    return task


class Service:
    """Keeps its tasks in an attribute."""

    def __init__(self):
        self.tasks = {failed(Refused("in a set"))}
        self.one = failed(KeyError("k"))

    async def serve(self):
        await asyncio.sleep(FOREVER)


async def keeps_a_failed_one():
    one = failed(OSError(2, "no such thing"))
    many = [failed(ValueError(1, "two")), failed(Refused())]
    await asyncio.sleep(FOREVER)
    return one, many


async def has_looked():
    one = asyncio.ensure_future(fails(Refused("seen")))
    await asyncio.wait([one])
    one.exception()
    await asyncio.sleep(FOREVER)


async def gathers():
    await asyncio.gather(
        asyncio.ensure_future(fails(Refused("collected"))), work(5), return_exceptions=True
    )


async def waits_for_all():
    tasks = [asyncio.ensure_future(fails(Refused("waited for"))), asyncio.ensure_future(work(6))]
    await asyncio.wait(tasks)


# --- asynchronous generators ----------------------------------------------------------------


async def inner_items():
    yield 1  # inner
    yield 2


async def items():
    async for item in inner_items():
        yield item  # outer


async def slow_items():
    yield 1
    await asyncio.sleep(FOREVER)  # slow
    yield 2


def note_generator(generator, mark, in_use):
    with open(__file__) as source:
        lines = [n for n, line in enumerate(source, 1) if line.endswith("# " + mark + "\n")]
    (line,) = lines
    generators[address(generator)] = {"line": line, "in_use": in_use}
    return generator


hooked = []


async def in_body():
    async for _ in items():
        await asyncio.sleep(FOREVER)


async def in_generator():
    async for _ in slow_items():
        pass


async def in_variable():
    iterated = items()
    await iterated.__anext__()
    await asyncio.sleep(FOREVER)
    return iterated


async def in_use_from_closure():
    iterated = items()
    await iterated.__anext__()

    async def inner():
        return iterated

    await asyncio.sleep(FOREVER)
    await inner()


async def in_collection():
    iterated = items()
    await iterated.__anext__()
    kept.append(iterated)


@contextlib.asynccontextmanager
async def driven(name):
    yield name  # driven


async def in_context():
    async with driven("block"):
        await asyncio.sleep(FOREVER)


async def in_manager():
    manager = driven("manager")
    await manager.__aenter__()
    await asyncio.sleep(FOREVER)
    await manager.__aexit__(None, None, None)


async def in_exit_stack():
    stack = contextlib.AsyncExitStack()
    await stack.enter_async_context(driven("stack"))
    kept.append(stack)


async def given_up():
    iterated = items()
    await iterated.__anext__()
    lost.add(address(iterated))
    await asyncio.sleep(FOREVER)


lost = set()


def note_generators(**expected):
    """All that the loop has been told of, by who made them."""
    by_code = {}
    for generator in hooked:
        by_code.setdefault(generator.ag_code.co_name, []).append(generator)
    assert {name: len(of) for name, of in by_code.items()} == expected
    for generator in by_code["items"]:
        note_generator(generator, "outer", address(generator) not in lost)
    # The one that iterates it closes it, whenever it is closed itself.
    for mark, name in ("inner", "inner_items"), ("slow", "slow_items"), ("driven", "driven"):
        for generator in by_code.get(name, ()):
            note_generator(generator, mark, True)


def hook():
    hooks = sys.get_asyncgen_hooks()

    def first(generator):
        hooked.append(generator)
        hooks.firstiter(generator)

    sys.set_asyncgen_hooks(firstiter=first)


def truth(references):
    return {
        "pid": common.namespace_pid(),
        "loop": address(asyncio.get_event_loop()),
        "never_awaited": never_awaited,
        "unretrieved": unretrieved,
        "generators": generators,
        "references": references,
    }


async def bring_about():
    loop = asyncio.get_event_loop()
    hook()
    tasks = []

    async def start(coroutine):
        tasks.append(asyncio.ensure_future(coroutine))
        for _ in range(5):
            await asyncio.sleep(0)

    semaphore = asyncio.Semaphore(0)
    await start(forgets())
    await start(awaits_later(work(7), semaphore))
    await start(starts_one_by_one(semaphore))
    await start(has_given_it_away())
    await start(uses_it_in_a_closure())
    await start(Service().serve())
    await start(keeps_a_failed_one())
    await start(has_looked())
    await start(gathers())
    await start(waits_for_all())
    for one in [in_body, in_generator, in_variable, in_use_from_closure, in_collection]:
        await start(one())
    for one in [in_context, in_manager, in_exit_stack, given_up]:
        await start(one())
    note_generators(items=5, inner_items=5, slow_items=1, driven=3)
    hooked.clear()
    future = loop.create_future()
    future.set_exception(Refused("no task"))
    note_failed(future, Refused("no task"), None)
    ready = threading.Event()
    threading.Thread(target=blocks, args=(ready,), daemon=True).start()
    ready.wait()
    common.watchdog()
    tid = threading.get_native_id()
    # The call itself has one more.
    references = {address(tasks[i]): sys.getrefcount(tasks[i]) - 1 for i in range(len(tasks))}
    arguments = (tid, truth(references))
    threading.Thread(target=common.emit_ready_when_polling, args=arguments, daemon=True).start()
    await asyncio.sleep(FOREVER)
    return future


async def fails_at_once(error):
    refuse(error)


async def blocks_all(told):
    mine = told.pop()
    async for _ in items():
        note_generators(items=1, inner_items=1)
        common.watchdog()
        common.emit_ready(truth({}))
        time.sleep(FOREVER)
    return mine


async def block():
    """All steps of one iteration: first of those that fail, then of the one that blocks."""
    hook()
    told = []
    for n in range(3):
        told.append(asyncio.ensure_future(fails_at_once(Refused("told", n))))
    # Its callback has the next turn.
    told[0].add_done_callback(lambda task: task.exception())
    note_failed(told[1], Refused("told", 1), "fails_at_once")
    note_failed(told[2], Refused("told", 2), "fails_at_once")
    # So has the one of `gather`.
    gathered = asyncio.gather(asyncio.ensure_future(fails_at_once(Refused("gathered"))))
    blocker = asyncio.ensure_future(blocks_all(told))
    await asyncio.sleep(FOREVER)
    return gathered, blocker


async def main():
    try:
        await (block() if options.blocked else bring_about())
    except BaseException:
        common.die()


common.run(options.loop, main())
