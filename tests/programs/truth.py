"""The sample: tasks in every construct of asyncio, and the truth about them.

    truth.py [--loop asyncio|uvloop] [--mode parked|blocked] [--threads] [--debug] [--trace]
             [--no-ring]

parked: every loop is idle in its selector. blocked: the last task has made some tasks ready
and cancelled others, and now blocks the main loop in time.sleep.
In parked mode a line "again" on stdin prints the truth anew, which has to be the same.
--threads adds plain threads in system calls. --debug: asyncio's debug mode. --trace: under
sys.settrace, which instruments the bytecode. --no-ring: without the two tasks that wait for one
another, of which `asyncio pstree` prints no tree.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import collections
import collections.abc
import contextlib
import dataclasses
import enum
import functools
import gc
import socket
import threading
import time
import types

import common
from common import FOREVER, Truth

V = sys.version_info[:2]
parser = argparse.ArgumentParser()
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
parser.add_argument("--mode", choices=["parked", "blocked"], default="parked")
parser.add_argument("--threads", action="store_true")
parser.add_argument("--debug", action="store_true")
parser.add_argument("--trace", action="store_true")
parser.add_argument("--no-ring", action="store_true")
options = parser.parse_args()

T = Truth(options.loop, options.mode)


def current():
    return asyncio.current_task()


def cancel_soon(task, message=None):
    """Cancels a task once it has suspended: in the loop's next iteration."""
    loop = task.get_loop()
    if message is not None and V >= (3, 9):
        loop.call_soon(task.cancel, message)
    else:
        loop.call_soon(task.cancel)


async def never(future=None):
    """Waits for a future that nobody resolves."""
    if future is None:
        future = asyncio.get_event_loop().create_future()
    await future  # parked


# --- plain chains --------------------------------------------------------------------------


async def chain_leaf(seconds):
    await asyncio.sleep(seconds)  # parked


async def chain_5(seconds):
    await chain_leaf(seconds)


async def chain_4(seconds):
    await chain_5(seconds)


async def chain_3(seconds):
    value = await chain_4(seconds)
    return value


async def chain_2(seconds):
    return await chain_3(seconds)


async def chain_1(seconds):
    await chain_2(seconds)


async def recursive(depth):
    if depth > 1:
        await recursive(depth - 1)
    else:
        await asyncio.sleep(FOREVER)  # parked


async def multi_line(first, second):
    await asyncio.wait_for(  # parked
        never(
            first,
        ),
        timeout=second,  # parked
    )


async def multi_line_operands():
    result = (
        1
        + (await asyncio.sleep(  # parked
            FOREVER,
            2,
        )) * 3
    )  # fmt: skip
    return result


async def await_in_call():
    # The awaited call is not the outermost expression of its line.
    print(str(int(await asyncio.sleep(FOREVER, 1))), end="")  # parked


class Service:
    async def method(self):
        await self.private()

    async def private(self):
        await asyncio.sleep(FOREVER)  # parked

    @classmethod
    async def of_class(cls):
        await asyncio.sleep(FOREVER)  # parked

    @staticmethod
    async def of_nobody():
        await asyncio.sleep(FOREVER)  # parked

    class Inner:
        async def __call__(self):
            await asyncio.sleep(FOREVER)  # parked


def make_closure(value):
    async def closure():
        nonlocal value
        value += 1

        async def deeper():
            await asyncio.sleep(FOREVER, value)  # parked

        await deeper()

    return closure


def decorated(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


@decorated
async def with_decorator(x):
    await asyncio.sleep(x)  # parked


async def größe():
    await asyncio.sleep(FOREVER)  # parked


async def 名前():
    await größe()


def from_source(source, name, filename):
    space = {"asyncio": asyncio, "FOREVER": FOREVER}
    exec(compile(source, filename, "exec"), space)
    return space[name]


def start_plain():
    for depth, function in enumerate(
        [chain_leaf, chain_5, chain_4, chain_3, chain_2, chain_1], start=1
    ):
        T.start("chain_{}".format(depth), function(FOREVER), on="timer", depth=depth + 1)
    T.start("recursion", recursive(50), on="timer", depth=51)
    T.start("multi_line", multi_line(None, FOREVER))
    if V < (3, 12):
        hidden_child("multi_line")
    T.start("multi_line_operands", multi_line_operands(), on="timer")
    T.start("await_in_call", await_in_call(), on="timer")
    T.start("method", Service().method(), on="timer")
    T.start("classmethod", Service.of_class(), on="timer")
    T.start("staticmethod", Service.of_nobody(), on="timer")
    T.start("call", Service.Inner()(), on="timer")
    T.start("closure", make_closure(1)(), on="timer")
    T.start("decorated", with_decorator(FOREVER), on="timer")
    T.start("unicode_function", 名前(), on="timer")
    T.start("sleep_only", asyncio.sleep(FOREVER), on="timer", depth=1)
    T.start("future_only", never(), on="future", depth=1)

    long_body = "async def long_function():\n    x = 0\n"
    long_body += "".join("    x = (x + {}) * {}\n".format(i, i) for i in range(3000))
    long_body += "    await asyncio.sleep(FOREVER, x if x < 0 else 0)\n"
    function = from_source(long_body, "long_function", "/nonexistent/long.py")
    T.start("long_function", function(), on="timer", depth=2)
    # An await 40,000 lines below the def, without code between.
    far = "async def far():\n    pass\n" + "\n" * 40000 + "    await asyncio.sleep(FOREVER)\n"
    T.start("far_line", from_source(far, "far", "/nonexistent/é.py")(), on="timer", depth=2)
    astral = "async def f():\n    await asyncio.sleep(FOREVER)\n"
    astral = from_source(astral, "f", "/nonexistent/名🐍.py")
    T.start("unicode_file", astral(), on="timer", depth=2)
    lambdas = from_source(
        "import types\nf = types.coroutine(lambda: (yield from asyncio.sleep(FOREVER)))\n",
        "f",
        "<string>",
    )

    async def awaits_lambda():
        await lambdas()  # parked

    T.start("lambda", awaits_lambda(), on="timer", depth=3)


def hidden_child(parent):
    """wait_for before 3.12 runs the coroutine in a task of its own, which isn't given to us."""
    pending_hidden.append(parent)


pending_hidden = []


def adopt_hidden():
    """Finds the tasks that the library made, by who waits for them; run when all is parked."""
    for parent in list(pending_hidden):
        task = T[parent]
        frames = [f for _, f in common.await_chain(task.get_coro())[0]]
        inner = [f.f_locals.get("fut") for f in frames if f.f_code.co_name == "wait_for"]
        if len(inner) != 1 or not isinstance(inner[0], asyncio.Task):
            return False
        T.add(parent + "_hidden", inner[0])
        T.awaits(parent, parent + "_hidden", via="wait_for")
        pending_hidden.remove(parent)
    return True


# --- names ---------------------------------------------------------------------------------


def start_names():
    for key, name in [
        ("name_ascii", "worker"),
        ("name_latin1", "caf\u00e9"),
        ("name_bmp", "\u540d\u524d"),
        ("name_astral", "snake \U0001f40d"),
        ("name_long", "long-" * 60),
        ("name_long_bmp", "\u540d" * 300),
        ("name_control", "a\x1b[31mb\nc\x00d\x7f\u202e"),
        ("name_empty", ""),
        ("name_number", "42"),
        ("name_like_default", "Task-1"),
        ("name_surrogate", "\udc80x"),
    ]:
        T.start(key, asyncio.sleep(FOREVER), name=name, on="timer")
    T.start_unnamed("name_default", asyncio.sleep(FOREVER), on="timer")
    T.start_unnamed("name_default_2", asyncio.sleep(FOREVER), on="timer")
    task = asyncio.get_event_loop().create_task(asyncio.sleep(FOREVER))
    T.add("name_default_read", task, name=task.get_name(), on="timer")
    task = asyncio.get_event_loop().create_task(asyncio.sleep(FOREVER), name="before")
    task.set_name("after")
    T.add("name_changed", task, name="after", on="timer")


# --- primitives ----------------------------------------------------------------------------


async def wait_event(event):
    await event.wait()  # parked


async def hold(lock, event):
    async with lock:
        await event.wait()  # parked


async def want_plain(lock):
    await lock.acquire()  # parked


async def want_in_with(lock):
    async with lock:  # parked
        await never()


async def condition_wait(condition):
    async with condition:
        await condition.wait()  # parked


async def condition_wait_for(condition):
    async with condition:
        await condition.wait_for(lambda: False)  # parked


async def nested_contexts(first, second, event):
    async with first:
        with threading.Lock():
            for _ in range(3):
                for _ in (1, 2):
                    async with second:
                        with contextlib.suppress(ValueError):
                            await event.wait()  # parked


async def left_context(lock):
    async with lock:
        await asyncio.sleep(0)
    await never()  # parked


async def in_exit():
    class Slow:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            await never()

    async with Slow():  # parked
        pass


@contextlib.asynccontextmanager
async def manager_before():
    await never()
    yield


@contextlib.asynccontextmanager
async def manager_around(event):
    yield event


async def in_manager_enter():
    async with manager_before():  # parked
        pass


async def in_manager_body(event):
    async with manager_around(event) as inside:
        await inside.wait()  # parked


async def in_exit_stack(lock, event):
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(lock)
        await event.wait()  # parked


async def get(queue):
    await queue.get()  # parked


async def get_by(receive):
    await receive()  # parked


async def get_below(items):
    await get_by(lambda: items.get())  # parked


async def put(queue):
    await queue.put("too much")  # parked


async def join(queue):
    await queue.join()  # parked


async def deadlock(first, second, meet):
    async with first:
        meet.append(first)
        while len(meet) < 2:
            await asyncio.sleep(0)
        async with second:  # parked
            pass


SHARED = []  # by no name of its own
LOCK = None


async def want_global():
    async with LOCK:  # parked
        pass


async def want_nameless():
    async with SHARED[0]:  # parked
        pass


async def start_primitives():
    global LOCK
    event = asyncio.Event()
    T.start("event", wait_event(event), on="event")
    T.start("event_direct", event.wait(), on="event", depth=1)

    lock = asyncio.Lock()
    T.start("lock_holder", hold(lock, event), on="event")
    for n in (1, 2, 3):
        T.start("lock_waiter_{}".format(n), want_in_with(lock), on="lock", holders=["lock_holder"])
    T.start("lock_waiter_plain", want_plain(lock), on="lock", holders=["lock_holder"],
            wait={"name": "lock"})

    LOCK = asyncio.Lock()
    SHARED.append(asyncio.Lock())
    for key, shared, want, name in [
        ("global", LOCK, want_global, "LOCK"),
        ("nameless", SHARED[0], want_nameless, None),
    ]:
        T.start(key + "_holder", hold(shared, event), on="event")
        T.start(key + "_waiter", want(), on="lock", holders=[key + "_holder"], wait={"name": name})

    semaphore = asyncio.Semaphore(2)
    bounded = asyncio.BoundedSemaphore(1)
    holders = ["semaphore_holder_1", "semaphore_holder_2"]
    for key in holders:
        T.start(key, hold(semaphore, event), on="event")
    T.start("semaphore_waiter", want_in_with(semaphore), on="semaphore", holders=holders)
    T.start("bounded_holder", hold(bounded, event), on="event")
    T.start("bounded_waiter", want_in_with(bounded), on="semaphore", holders=["bounded_holder"])

    condition = asyncio.Condition()
    T.start("condition_waiter", condition_wait(condition), on="condition")
    T.start("condition_waiter_for", condition_wait_for(condition), on="condition")

    first, second = asyncio.Lock(), asyncio.Lock()
    T.start("nested_contexts", nested_contexts(first, second, event), on="event")
    T.start("nested_outer_waiter", want_in_with(first), on="lock", holders=["nested_contexts"])
    T.start("nested_inner_waiter", want_in_with(second), on="lock", holders=["nested_contexts"])
    T.start("left_context", left_context(asyncio.Lock()), on="future")
    T.start("in_exit", in_exit(), on="future")
    T.start("in_manager_enter", in_manager_enter(), on="future")
    T.start("in_manager_body", in_manager_body(event), on="event")
    T.start("in_exit_stack", in_exit_stack(asyncio.Lock(), event), on="event")

    queue = asyncio.Queue()
    T.start("queue_get", get(queue), on="queue")
    T.start("queue_get_direct", queue.get(), on="queue", depth=1)
    T.start("queue_get_priority", get(asyncio.PriorityQueue()), on="queue")
    T.start("queue_bound", get_by(asyncio.Queue().get), on="queue", wait={"name": "receive"})
    T.start("queue_below", get_below(asyncio.Queue()), on="queue", wait={"name": "items"})
    full = asyncio.Queue(maxsize=1)
    full.put_nowait("one")
    T.start("queue_put", put(full), on="queue")
    T.start("queue_join", join(full), on="queue")

    one, two, meet = asyncio.Lock(), asyncio.Lock(), []
    T.start("deadlock_1", deadlock(one, two, meet), on="lock", holders=["deadlock_2"])
    T.start("deadlock_2", deadlock(two, one, meet), on="lock", holders=["deadlock_1"])

    if V >= (3, 11):
        barrier = asyncio.Barrier(3)

        async def at_barrier():
            await barrier.wait()  # parked

        T.start("barrier_1", at_barrier(), on="barrier")
        T.start("barrier_2", at_barrier(), on="barrier")


# --- tasks that wait for tasks -------------------------------------------------------------


async def child():
    await asyncio.sleep(FOREVER)  # parked


def start_children(key, count):
    keys = ["{}_child_{}".format(key, n) for n in range(1, count + 1)]
    for each in keys:
        T.start(each, child(), on="timer")
    return keys


async def await_task(task):
    await task  # parked


async def await_gather(tasks, **kwargs):
    await asyncio.gather(*tasks, **kwargs)  # parked


async def await_gather_nested(first, second):
    await asyncio.gather(asyncio.gather(*first), asyncio.gather(*second))  # parked


async def await_gather_coroutines():
    outer = asyncio.gather(child(), child())
    for n, task in enumerate(outer._children, start=1):
        T.add("gather_coroutines_child_{}".format(n), task, on="timer")
    await outer  # parked


async def makes_unawaited_gather(tasks):
    T.keep.append(asyncio.gather(*tasks))
    await never()  # parked


async def await_shield(task):
    await asyncio.shield(task)  # parked


async def await_shield_of_gather(tasks):
    await asyncio.shield(asyncio.gather(*tasks))  # parked


async def await_wait(tasks):
    await asyncio.wait(tasks)  # parked


async def await_wait_first(tasks):
    await asyncio.wait(tasks, timeout=FOREVER, return_when=asyncio.FIRST_COMPLETED)  # parked


async def await_wait_for(task):
    await asyncio.wait_for(task, FOREVER)  # parked


async def await_wait_for_coroutine():
    await asyncio.wait_for(child(), FOREVER)  # parked


async def await_wait_for_no_timeout():
    await asyncio.wait_for(child(), None)  # parked


async def await_as_completed(tasks):
    for following in asyncio.as_completed(tasks):
        await following  # parked


async def await_as_completed_timeout(tasks):
    for following in asyncio.as_completed(tasks, timeout=FOREVER):
        await following  # parked


async def abandon_shield(task):
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        pass
    await never()  # parked


async def finished():
    return "finished"


def start_waiters():
    def waits(key, coro, children, via, **known):
        T.start(key, coro, **known)
        T.awaits(key, *children, via=via)

    def tasks(keys):
        return [T[key] for key in keys]

    keys = start_children("await_task", 1)
    waits("await_task", await_task(T[keys[0]]), keys, "await", on="task")
    keys = start_children("await_shared", 1)
    waits("await_shared_1", await_task(T[keys[0]]), keys, "await", on="task")
    waits("await_shared_2", await_task(T[keys[0]]), keys, "await", on="task")
    waits("await_third", await_task(T["await_shared_1"]), ["await_shared_1"], "await", on="task")

    keys = start_children("gather", 3)
    waits("gather", await_gather(tasks(keys)), keys, "gather", on="gather")
    keys = start_children("gather_exceptions", 2)
    waits(
        "gather_exceptions",
        await_gather(tasks(keys), return_exceptions=True),
        keys,
        "gather",
        on="gather",
    )
    keys = start_children("gather_nested", 4)
    waits(
        "gather_nested",
        await_gather_nested(tasks(keys[:2]), tasks(keys[2:])),
        keys,
        "gather",
        on="gather",
    )
    T.expect("gather_coroutines_child_1", "gather_coroutines_child_2")
    T.start("gather_coroutines", await_gather_coroutines(), on="gather")
    T.awaits(
        "gather_coroutines", "gather_coroutines_child_1", "gather_coroutines_child_2", via="gather"
    )
    keys = start_children("gather_partly", 1)
    T.start("gather_partly_done", finished(), state="done")
    waits(
        "gather_partly",
        await_gather([T["gather_partly_done"]] + tasks(keys)),
        keys,
        "gather",
        on="gather",
    )
    keys = start_children("gather_unawaited", 2)
    T.start("gather_unawaited", makes_unawaited_gather(tasks(keys)), on="future")
    T.tolerated += [(key, "gather_unawaited") for key in keys]
    # One child of two gathers.
    keys = start_children("gather_shared", 2)
    waits("gather_shared_1", await_gather(tasks(keys)), keys, "gather", on="gather")
    waits("gather_shared_2", await_gather(tasks(keys)), keys, "gather", on="gather")

    keys = start_children("shield", 1)
    waits("shield", await_shield(T[keys[0]]), keys, "shield", on="task")
    keys = start_children("shield_gather", 2)
    waits("shield_gather", await_shield_of_gather(tasks(keys)), keys, "shield", on="task")
    keys = start_children("shield_abandoned", 1)
    T.start(
        "shield_abandoned",
        abandon_shield(T[keys[0]]),
        on="future",
        requested=1,
        swallowed=True,
    )
    cancel_soon(T["shield_abandoned"])
    T.tolerated += [(keys[0], "shield_abandoned")]

    keys = start_children("wait", 2)
    waits("wait", await_wait(set(tasks(keys))), keys, "wait", on="task")
    keys = start_children("wait_first", 2)
    waits("wait_first", await_wait_first(set(tasks(keys))), keys, "wait", on="task")

    keys = start_children("wait_for", 1)
    waits("wait_for", await_wait_for(T[keys[0]]), keys, "wait_for", on="task")
    T.start(
        "wait_for_coroutine", await_wait_for_coroutine(), on="task" if V < (3, 12) else "timer"
    )
    if V < (3, 12):
        hidden_child("wait_for_coroutine")
    T.start("wait_for_no_timeout", await_wait_for_no_timeout(), on="timer")

    keys = start_children("as_completed", 2)
    waits("as_completed", await_as_completed(tasks(keys)), keys, "as_completed", on="task")
    keys = start_children("as_completed_timeout", 2)
    waits(
        "as_completed_timeout",
        await_as_completed_timeout(tasks(keys)),
        keys,
        "as_completed",
        on="task",
    )
    if V >= (3, 13):
        keys = start_children("as_completed_async", 2)

        async def await_as_completed_async(tasks):
            async for following in asyncio.as_completed(tasks):  # parked
                await following

        waits(
            "as_completed_async",
            await_as_completed_async(tasks(keys)),
            keys,
            "as_completed",
            on="task",
        )

    # A ring of two tasks.
    async def ring(other):
        await T[other]  # parked

    if not options.no_ring:
        T.expect("ring_1", "ring_2")
        waits("ring_1", ring("ring_2"), ["ring_2"], "await", on="task")
        waits("ring_2", ring("ring_1"), ["ring_1"], "await", on="task")

    if V >= (3, 11):
        start_groups()


def start_groups():
    async def group(key):
        async with asyncio.TaskGroup() as tasks:
            for n in (1, 2):
                name = "{}_child_{}".format(key, n)
                T.add(name, tasks.create_task(child(), name=name), name=name, on="timer")
            await never()  # parked

    async def unnamed_group(key):
        async with asyncio.TaskGroup() as tasks:  # parked
            T.add(key + "_child_1", tasks.create_task(child()), on="timer")

    async def nested_groups(key):
        async with asyncio.TaskGroup() as outer:  # parked
            name = key + "_inner"
            T.add(name, outer.create_task(unnamed_group(name), name=name), name=name)
            T.expect(name + "_child_1")
            T.awaits(name, name + "_child_1", via="taskgroup")

    async def timed():
        async with asyncio.timeout(FOREVER):
            async with asyncio.timeout(None):
                await asyncio.sleep(FOREVER)  # parked

    async def timed_at():
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + FOREVER):
            await never()  # parked

    # __aexit__ is awaited at the line of the `async with`.
    async def group_exit(key):
        async with asyncio.TaskGroup() as tasks:  # parked
            for n in (1, 2):
                name = "{}_child_{}".format(key, n)
                T.add(name, tasks.create_task(child(), name=name), name=name, on="timer")

    for key, coro, via in [
        ("group_exit", group_exit("group_exit"), "taskgroup"),
        ("group_body", group("group_body"), "taskgroup-body"),
    ]:
        children = ["{}_child_{}".format(key, n) for n in (1, 2)]
        T.expect(*children)
        T.start(key, coro, on="task-group" if via == "taskgroup" else "future")
        T.awaits(key, *children, via=via)
    T.expect("group_nested_inner")
    T.start("group_nested", nested_groups("group_nested"), on="task-group")
    T.awaits("group_nested", "group_nested_inner", via="taskgroup")
    T.start("timeout", timed(), on="timer")
    T.start("timeout_at", timed_at(), on="future")


# --- awaitables that are not coroutines ------------------------------------------------------


async def slow_items():
    await asyncio.sleep(FOREVER)  # parked
    yield 1


async def second_item_slow():
    yield 1
    await never()
    yield 2


async def delegating():
    async for item in slow_items():
        yield item


async def catches_error():
    try:
        yield 1
    except ValueError:
        await never()


async def slow_close():
    try:
        yield 1
    finally:
        await never()


async def use_async_for():
    async for _ in slow_items():  # parked
        pass


async def use_async_for_second():
    async for _ in second_item_slow():  # parked
        pass


async def use_delegating():
    async for _ in delegating():  # parked
        pass


async def use_comprehension():
    return [item async for item in slow_items()]  # parked


async def use_expression():
    items = (item async for item in slow_items())
    async for _ in items:  # parked
        pass


async def use_asend():
    generator = second_item_slow()
    await generator.asend(None)
    await generator.asend(None)  # parked


async def use_anext_method():
    await slow_items().__anext__()  # parked


async def use_athrow():
    generator = catches_error()
    await generator.asend(None)
    await generator.athrow(ValueError("thrown"))  # parked


async def use_aclose():
    generator = slow_close()
    await generator.asend(None)
    await generator.aclose()  # parked


class AsyncIterator:
    def __aiter__(self):
        return self

    async def __anext__(self):
        await never()


async def use_async_iterator():
    async for _ in AsyncIterator():  # parked
        pass


@types.coroutine
def old_style():
    yield from asyncio.sleep(FOREVER)  # parked


@types.coroutine
def old_style_future(future):
    return (yield from future.__await__())  # parked


async def use_old_style():
    await old_style()


async def use_old_style_future():
    await old_style_future(asyncio.get_event_loop().create_future())


class AwaitGenerator:
    def __await__(self):
        yield from asyncio.get_event_loop().create_future().__await__()  # parked


class AwaitCoroutine:
    def __await__(self):
        return never().__await__()


class AwaitFuture:
    def __init__(self, future):
        self.future = future

    def __await__(self):
        return self.future.__await__()


class FutureIterator:
    """Does what FutureIter does, and nobody can look inside."""

    def __init__(self, future):
        self.future = future

    def __iter__(self):
        return self

    def __next__(self):
        if self.future.done():
            raise StopIteration(self.future.result())
        self.future._asyncio_future_blocking = True
        return self.future


class AwaitIterator:
    def __await__(self):
        return FutureIterator(asyncio.get_event_loop().create_future())


# A class whose name only looks like the interpreter's own.
Impostor = type(
    "coroutine_wrapper", (FutureIterator,), {"__init__": lambda s, f: setattr(s, "future", f)}
)


class AwaitImpostor:
    def __await__(self):
        return Impostor(asyncio.get_event_loop().create_future())


async def use(awaitable):
    await awaitable  # parked


class CustomCoroutine(collections.abc.Coroutine):
    """The coroutine of a task need not be one: Cython's isn't either."""

    def __init__(self, future):
        self.future = future

    def send(self, value):
        if self.future.done():
            raise StopIteration(None)
        self.future._asyncio_future_blocking = True
        return self.future

    def throw(self, kind, value=None, traceback=None):
        raise kind if value is None else value

    def close(self):
        pass

    def __await__(self):
        return self


def start_awaitables():
    T.start("async_for", use_async_for(), on="timer", depth=3)
    T.start("async_for_second", use_async_for_second(), on="future", depth=3)
    T.start("async_for_delegating", use_delegating(), on="timer", depth=4)
    T.start("async_comprehension", use_comprehension(), on="timer", depth=3 if V >= (3, 12) else 4)
    T.start("async_expression", use_expression(), on="timer", depth=4)
    T.start("asend", use_asend(), on="future", depth=3)
    T.start("anext_method", use_anext_method(), on="timer", depth=3)
    T.start(
        "athrow",
        use_athrow(),
        on="future",
        depth=3,
        exceptions={"catches_error": "ValueError"},
    )
    T.start(
        "aclose", use_aclose(), on="future", depth=3, exceptions={"slow_close": "GeneratorExit"}
    )
    T.start("async_iterator", use_async_iterator(), on="future", depth=3)
    if V >= (3, 10):

        async def use_anext():
            await anext(slow_items())  # parked

        async def use_anext_default():
            await anext(slow_items(), "default")  # parked

        async def use_anext_iterator_default():
            await anext(AsyncIterator(), "default")  # parked

        T.start("anext", use_anext(), on="timer", depth=3)
        T.start("anext_default", use_anext_default(), on="timer", depth=3)
        T.start("anext_iterator_default", use_anext_iterator_default(), on="future", depth=3)
    T.start("types_coroutine", use_old_style(), on="timer", depth=3)
    T.start("types_coroutine_future", use_old_style_future(), on="future", depth=2)
    if V < (3, 12):
        T.start("generator_task", old_style(), on="timer", depth=2)
    T.start("await_generator", use(AwaitGenerator()), on="future", depth=2)
    T.start("await_coroutine", use(AwaitCoroutine()), on="future", depth=2)
    loop = asyncio.get_event_loop()
    T.start("await_future_object", use(AwaitFuture(loop.create_future())), on="future", depth=1)
    T.start("await_iterator", use(AwaitIterator()), depth=1, opaque=True)
    T.start("await_impostor", use(AwaitImpostor()), depth=1, opaque=True)
    T.start("custom_coroutine", CustomCoroutine(loop.create_future()), depth=0, opaque=True)


# --- kinds of tasks ------------------------------------------------------------------------


class OwnTask(asyncio.Task):
    def __init__(self, coro, **kwargs):
        super().__init__(coro, **kwargs)
        self.colour = "blue"


class OwnOwnTask(OwnTask):
    pass


class OwnPureTask(asyncio.tasks._PyTask):
    pass


class OwnFuture(asyncio.Future):
    pass


def start_kinds():
    loop = asyncio.get_event_loop()
    pure = asyncio.tasks._PyTask
    T.start("own_task", chain_5(FOREVER), factory=OwnTask, on="timer")
    T.start("own_own_task", chain_5(FOREVER), factory=OwnOwnTask, on="timer")
    T.start("own_future", never(OwnFuture(loop=loop)), on="future")
    T.start("pure_task", chain_5(FOREVER), factory=pure, on="timer")
    T.start("own_pure_task", chain_5(FOREVER), factory=OwnPureTask, on="timer")
    T.add("pure_unnamed", pure(chain_5(FOREVER), loop=loop), on="timer")
    pure_future = asyncio.futures._PyFuture
    T.start("pure_future", never(pure_future(loop=loop)), on="future", depth=2)
    T.start("pure_task_pure_future", never(pure_future(loop=loop)), factory=pure, on="future")
    # Pure and C tasks wait for one another.
    T.start("pure_awaits", await_task(T["own_task"]), factory=pure, on="task")
    T.awaits("pure_awaits", "own_task")
    T.start("awaits_pure", await_task(T["pure_task"]), on="task")
    T.awaits("awaits_pure", "pure_task")
    T.start("gathers_pure", await_gather([T["own_pure_task"], T["pure_awaits"]]), on="gather")
    T.awaits("gathers_pure", "own_pure_task", "pure_awaits", via="gather")

    async def cancelled_pure():
        try:
            await never()
        except asyncio.CancelledError:
            await never()  # parked

    T.start(
        "pure_handling",
        cancelled_pure(),
        factory=pure,
        on="future",
        handling="cancelled_pure",
        requested=1,
        message="stop",
    )
    cancel_soon(T["pure_handling"], "stop")

    if V >= (3, 12):

        def eager(coro, **kwargs):
            return asyncio.Task(coro, eager_start=True, **kwargs)

        T.start("eager", chain_5(FOREVER), factory=eager, on="timer", eager=True)
        T.start("eager_pure", chain_5(FOREVER), factory=eager_pure, on="timer", eager=True)


def eager_pure(coro, **kwargs):
    return asyncio.tasks._PyTask(coro, eager_start=True, **kwargs)


# --- threads, executors, sockets -----------------------------------------------------------


class Job:
    """A call in another thread that does not end."""

    def __init__(self, lock):
        self.lock = lock
        self.began = threading.Event()

    def blocked_in_thread(self):
        self.thread = threading.get_native_id()
        self.began.set()
        self.lock.acquire()

    def facts(self):
        assert self.began.wait(30)
        return {"thread": self.thread, "function": "Job.blocked_in_thread"}


async def use_executor(job):
    await asyncio.get_event_loop().run_in_executor(None, job.blocked_in_thread)  # parked


async def use_shield(job):
    call = asyncio.get_event_loop().run_in_executor(None, job.blocked_in_thread)
    await asyncio.shield(call)  # parked


async def from_thread():
    T.adopt("threadsafe", on="timer")
    await asyncio.sleep(FOREVER)  # parked


def thread_waiting_for_task(loop):
    asyncio.run_coroutine_threadsafe(from_thread(), loop).result()


def ends(sock):
    """What is to be said of a connected socket."""
    local, remote = ("{}:{}".format(*name[:2]) for name in (sock.getsockname(), sock.getpeername()))
    return {"fd": sock.fileno(), "local": local, "remote": remote}


async def client(port, connection):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    T.keep.append(writer)
    connection.update(ends(writer.get_extra_info("socket")))
    await reader.readexactly(10)  # parked


async def serve(reader, writer):
    sock = writer.get_extra_info("socket")
    T.adopt("stream_server_connection", on="socket", wait=ends(sock))
    T.keep.append(writer)
    await reader.readline()  # parked


async def serve_forever(server):
    await server.serve_forever()  # parked


async def receive(a):
    await asyncio.get_event_loop().sock_recv(a, 10)  # parked


async def accept(listener):
    await asyncio.get_event_loop().sock_accept(listener)  # parked


async def start_outside():
    loop = asyncio.get_event_loop()
    lock = threading.Lock()
    lock.acquire()
    T.keep.append(lock)
    job = Job(lock)
    T.start("executor", use_executor(job), on="executor", wait=job.facts)
    shielded = Job(lock)
    T.start("executor_shielded", use_shield(shielded), on="executor", wait=shielded.facts)
    if V >= (3, 9):

        other_job = Job(lock)

        async def use_to_thread():
            await asyncio.to_thread(other_job.blocked_in_thread)  # parked

        T.start("to_thread", use_to_thread(), on="executor", wait=other_job.facts)

    T.expect("threadsafe")
    threading.Thread(
        target=thread_waiting_for_task, args=(loop,), name="caller", daemon=True
    ).start()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    uvloop = options.loop == "uvloop"
    T.start(
        "stream_server",
        serve_forever(server),
        on=None if uvloop else "socket",
        wait={"fd": server.sockets[0].fileno()},
        opaque=uvloop,
    )
    T.expect("stream_server_connection")
    connection = {}
    T.start("stream_client", client(port, connection), on="socket", wait=lambda: connection)

    a, b = socket.socketpair()
    a.setblocking(False)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    T.keep += [a, b, listener]
    T.start("sock_recv", receive(a), on="socket", wait={"fd": a.fileno()}, opaque=uvloop)
    wait = {"fd": listener.fileno()}
    T.start("sock_accept", accept(listener), on="socket", wait=wait, opaque=uvloop)

    for target, name in [
        (second_loop, "second-loop"),
        (eager_loop, "eager-loop"),
        (ended_loop, "ended-loop"),
    ]:
        if target is eager_loop and V < (3, 12):
            continue
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        if target is ended_loop:
            T.keep.append(thread)
            thread.join()

    if options.threads:
        threading.Thread(
            target=lock.acquire, name="caf\u00e9 \u540d \U0001f40d", daemon=True
        ).start()
        one, two = socket.socketpair()
        T.keep += [one, two]
        threading.Thread(target=one.recv, args=(1,), name="receiver", daemon=True).start()
        threading.Thread(target=time.sleep, args=(FOREVER,), name="sleeper", daemon=True).start()


async def second_main():
    T.loop(asyncio.get_event_loop(), threading.get_native_id())
    lock = asyncio.Lock()
    event = asyncio.Event()
    T.start("second_holder", hold(lock, event), on="event")
    T.start("second_waiter", want_in_with(lock), on="lock", holders=["second_holder"])
    T.start("second_chain", chain_3(FOREVER), on="timer")
    T.start("second_child", child(), on="timer")
    T.start("second_gather", await_gather([T["second_child"]]), on="gather")
    T.awaits("second_gather", "second_child", via="gather")
    T.adopt("second_main", on="event")
    await event.wait()  # parked


T.expect("second_main")


def second_loop():
    guarded(lambda: common.run(options.loop, second_main(), options.debug))


def eager_factory(loop, coro, **kwargs):
    kwargs["eager_start"] = True
    return asyncio.Task(coro, loop=loop, **kwargs)


async def eager_main():
    loop = asyncio.get_event_loop()
    T.loop(loop, threading.get_native_id())
    if options.loop == "uvloop":
        loop.set_task_factory(eager_factory)  # uvloop 0.23 breaks asyncio's on 3.13.0
    else:
        loop.set_task_factory(asyncio.eager_task_factory)
    T.start("eager_factory", chain_3(FOREVER), on="timer", eager=True)
    T.start("eager_factory_child", child(), on="timer", eager=True)
    T.start("eager_factory_gather", await_gather([T["eager_factory_child"]]), eager=True)
    T.awaits("eager_factory_gather", "eager_factory_child", via="gather")
    T.start("eager_factory_done", finished(), state="done", eager=True)
    T.adopt("eager_main", on="future")
    await never()


if V >= (3, 12):
    T.expect("eager_main")


def eager_loop():
    guarded(lambda: common.run(options.loop, eager_main(), options.debug))


def ended_loop():
    def body():
        loop = common.new_loop(options.loop)
        asyncio.set_event_loop(loop)
        loop.set_debug(options.debug)
        T.loop(loop, None)

        def start():
            T.start("ended_chain", chain_3(FOREVER), on="timer")
            T.start("ended_child", child(), on="timer")
            T.start("ended_parent", await_task(T["ended_child"]), on="task")
            T.awaits("ended_parent", "ended_child")

        async def until_parked():
            start()
            while any(T[k]._fut_waiter is None for k in ("ended_chain", "ended_child")):
                await asyncio.sleep(0)
            while T["ended_parent"]._fut_waiter is None:
                await asyncio.sleep(0)

        loop.run_until_complete(until_parked())

    guarded(body)


def guarded(function):
    try:
        function()
    except BaseException:
        common.die()


# --- cancellation --------------------------------------------------------------------------


async def handles_cancel():
    try:
        await never()
    except asyncio.CancelledError:
        await never()  # parked


async def handles_cancel_as():
    try:
        await never()
    except asyncio.CancelledError as error:
        await asyncio.sleep(FOREVER, error)  # parked


async def cleans_up():
    try:
        await never()
    finally:
        await clean_up()


async def clean_up():
    await asyncio.sleep(FOREVER)  # parked


async def cleans_up_below():
    await cleans_up()


async def cancelled_in_body(lock):
    class Slow:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            await never()

    async with Slow():  # parked
        await never()


async def handles_key_error():
    try:
        raise KeyError("k")
    except KeyError:
        await never()  # parked


async def handles_inside_handler():
    try:
        raise KeyError("outer")
    except KeyError:
        await handles_cancel()


async def handles_two():
    try:
        await never()
    except asyncio.CancelledError:
        try:
            raise KeyError("inner")
        except KeyError:
            await never()  # parked


async def handles_replaced():
    try:
        try:
            await never()
        except asyncio.CancelledError:
            raise KeyError("instead")
    except KeyError:
        await never()  # parked


async def left_handler():
    try:
        raise KeyError("k")
    except KeyError:
        pass
    await never()  # parked


async def swallows():
    try:
        await never()
    except asyncio.CancelledError:
        pass
    await never()  # parked


async def swallows_in_loop():
    while True:
        try:
            await never()
        except BaseException:
            if len(swallowed) < 2:
                swallowed.append(1)
                cancel_soon(current())
                continue
            break
    await never()  # parked


swallowed = []


async def takes_back():
    try:
        await never()
    except asyncio.CancelledError:
        current().uncancel()
    await never()  # parked


async def fails():
    raise ValueError("went wrong")


def start_cancellations():
    def cancelled(key, coro, message=None, **known):
        T.start(key, coro, message=message, requested=known.pop("requested", 1), **known)
        cancel_soon(T[key], message)

    cancelled("handling_except", handles_cancel(), on="future", handling="handles_cancel")
    cancelled(
        "handling_message",
        handles_cancel(),
        "because",
        on="future",
        handling="handles_cancel",
    )
    cancelled("handling_as", handles_cancel_as(), on="timer", handling="handles_cancel_as")
    cancelled("handling_finally", cleans_up(), on="timer", handling="cleans_up", depth=3)
    cancelled("handling_below", cleans_up_below(), on="timer", handling="cleans_up", depth=4)
    cancelled("handling_exit", cancelled_in_body(None), on="future", handling="cancelled_in_body")
    cancelled(
        "handling_inside_key_error",
        handles_inside_handler(),
        on="future",
        handling="handles_cancel",
        exceptions={"handles_inside_handler": "KeyError"},
    )
    # The frame handles a KeyError that came up while it handled the CancelledError.
    cancelled(
        "handling_two",
        handles_two(),
        on="future",
        handling="handles_two",
        exceptions={"handles_two": "KeyError"},
    )
    # The same two exceptions, but the CancelledError's handler has been left.
    cancelled(
        "handling_replaced",
        handles_replaced(),
        on="future",
        exceptions={"handles_replaced": "KeyError"},
        swallowed=None,
    )
    T.start(
        "handling_key_error",
        handles_key_error(),
        on="future",
        exceptions={"handles_key_error": "KeyError"},
    )
    T.start("left_handler", left_handler(), on="future")
    cancelled("swallowed", swallows(), on="future", swallowed=True)
    cancelled("swallowed_message", swallows(), "go away", on="future", swallowed=True)
    cancelled("swallowed_thrice", swallows_in_loop(), on="future", requested=3, swallowed=True)
    if V >= (3, 11):
        cancelled("taken_back", takes_back(), on="future", requested=0)

    # The parent's request went on to its child, which takes its time.
    T.start(
        "slow_to_cancel",
        handles_cancel(),
        on="future",
        handling="handles_cancel",
        requested=1,
    )
    cancelled("passed_on", await_task(T["slow_to_cancel"]), on="task", passed_on=["slow_to_cancel"])
    T.awaits("passed_on", "slow_to_cancel")
    for n in (1, 2):
        T.start(
            "slow_in_gather_{}".format(n),
            handles_cancel(),
            on="future",
            handling="handles_cancel",
            requested=1,
        )
    keys = ["slow_in_gather_1", "slow_in_gather_2"]
    cancelled(
        "passed_on_gather", await_gather([T[k] for k in keys]), on="gather", passed_on=keys
    )
    T.awaits("passed_on_gather", *keys, via="gather")

    if V >= (3, 11):
        start_cancelled_groups()

    T.start("done", finished(), state="done")
    T.start("failed", fails(), state="failed")
    T.start("cancelled", never(), state="cancelled", requested=1)
    cancel_soon(T["cancelled"], "enough")
    T.change("cancelled", message="enough")
    T.start("cancelled_unstarted", never(), state="cancelled", requested=1)
    T["cancelled_unstarted"].cancel()


def start_cancelled_groups():
    """A failed child aborts the group: asyncio's own cancel requests, not swallowed ones."""

    async def aborted(key):
        name = key + "_child"
        async with asyncio.TaskGroup() as tasks:  # parked
            slow = tasks.create_task(handles_cancel(), name=name)
            T.add(name, slow, name=name, on="future", handling="handles_cancel", requested=1)
            tasks.create_task(fail_later(slow), name="fails")

    async def fail_later(sibling):
        while sibling._fut_waiter is None:
            await asyncio.sleep(0)
        raise ValueError("child failed")

    async def expired():
        async with asyncio.timeout(0):
            try:
                await never()
            except asyncio.CancelledError:
                await never()  # parked

    T.expect("group_aborted_child")
    # The group has cancelled its own parent, and waits on in __aexit__: that is no swallowing.
    T.start("group_aborted", aborted("group_aborted"), on="task-group", requested=1)
    T.awaits("group_aborted", "group_aborted_child", via="taskgroup")
    T.start("timeout_expired", expired(), on="future", handling="expired", requested=1)


# --- locals --------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Flags(enum.Flag):
    A = 1
    B = 2


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Order:
    number: int
    lines: list


class Plain:
    def __init__(self):
        self.a = 1
        self.b = "two"

    def __repr__(self):
        return "<Plain>"

    def method(self):
        pass


class Slotted:
    __slots__ = ("left", "right", "empty")

    def __init__(self):
        self.left = 1
        self.right = "r"

    def __repr__(self):
        return "<Slotted>"


class OwnInt(int):
    pass


class OwnStr(str):
    pass


class OwnList(list):
    pass


class OwnDict(dict):
    pass


class OwnTuple(tuple):
    pass


class WithDeleted:
    def __init__(self):
        self.a, self.b, self.c = 1, 2, 3
        del self.b
        self.d = 4

    def __repr__(self):
        return "<WithDeleted>"


async def has_scalars():
    none, true, false = None, True, False
    zero, one, minus_one, small, digit_edge = 0, 1, -1, 255, 2**30
    digit_below, big, negative_big, huge = 2**30 - 1, 2**60, -(2**70), 10**40
    word, minus_word, far_negative = 2**63, -(2**63), -12345
    half, infinite, negative_infinite, nan = 1.5, float("inf"), float("-inf"), float("nan")
    negative_zero, tiny, large_float, tenth = -0.0, 5e-324, 1e22, 0.1
    unit = complex(1, -2)
    await asyncio.sleep(FOREVER)  # parked
    return locals()


async def has_texts():
    empty, ascii_text, letter = "", "hello", "x"
    latin, bmp, astral = "caf\u00e9", "\u540d\u524d", "\U0001f40d!"
    quotes, double, both = "it's", 'say "x"', "'\""
    control, newline, surrogate = "\x1b[0m\x00", "a\nb\t\\", "\udc80"
    long_text, long_bmp, attributes = "abc" * 1000, "\u540d" * 500, OwnStr("own")
    attributes.note = "n"
    no_bytes, some_bytes, long_bytes = b"", b"a\x00\xff'", b"xyz" * 500
    array = bytearray(b"array")
    await asyncio.sleep(FOREVER)  # parked
    return locals()


async def has_containers():
    empty_tuple, empty_list, empty_dict, empty_set = (), [], {}, set()
    empty_frozen = frozenset()
    one_tuple, pair, listed = (1,), (1, "two"), [1, 2.0, "3", None]
    mapping, int_keys, mixed = {"a": 1, "b": [2]}, {1: "x", -2: "y"}, {"k": 1, 2: None, (3,): {}}
    nested = [[(1, [2, {"three": {4}}])]]
    numbers, frozen = {1, 2, 3}, frozenset(["only"])
    deleted = {"a": 1, "b": 2, "c": 3}
    del deleted["b"]
    big_mapping = {"key{}".format(n): n for n in range(300)}
    big_int_mapping = {n: -n for n in range(70000)}
    removed_from_set = {1, 2, 3, 4}
    removed_from_set.discard(2)
    itself = [1]
    itself.append(itself)
    in_itself = {}
    in_itself["me"] = in_itself
    ends = collections.deque([1, 2, 3], maxlen=5)
    long_ends = collections.deque(range(200))
    long_ends.rotate(70)
    no_ends = collections.deque()
    long_list = list(range(5000))
    ordered = collections.OrderedDict([("z", 1), ("a", 2)])
    default = collections.defaultdict(list, {"k": [1]})
    counter = collections.Counter("aab")
    await asyncio.sleep(FOREVER)  # parked
    return locals()


async def has_objects():
    order, plain, slotted = Order(7, ["a", "b"]), Plain(), Slotted()
    colour, level, flags = Colour.RED, Level.HIGH, Flags.A | Flags.B
    point = Point(1, y=2)
    function, method, partial = has_scalars, plain.method, functools.partial(int, base=2)
    builtin, builtin_method, kind, module = len, [].append, Plain, collections
    error = ValueError("bad", 1)
    own_int, own_list, own_dict, own_tuple = OwnInt(5), OwnList([1]), OwnDict(a=1), OwnTuple((1, 2))
    own_int.note = own_list.note = own_dict.note = own_tuple.note = "n"
    span, part = range(0, 10, 2), slice(1, None)
    with_deleted = WithDeleted()
    ellipsis, not_implemented = ..., NotImplemented
    iterator, generator = iter([1, 2]), (x for x in [1])
    await asyncio.sleep(FOREVER)  # parked
    return locals()


async def has_variables(argument, *rest, keyword=1, **others):
    cell = [argument]
    cell_number = 41
    unset = 1
    del unset
    squares = [n * n for n in range(3)]
    if not squares:
        never_bound = 1  # noqa: F841

    def inner():
        nonlocal cell_number
        cell_number += 1
        return cell

    inner()
    empty_cell_user = lambda: late  # noqa: E731
    await has_free_variables(cell_number)
    late = 1
    return late, empty_cell_user


def make_free(outer_value):
    async def has_free_variables(number):
        nonlocal outer_value
        inner = outer_value
        await asyncio.sleep(FOREVER, number)  # parked
        outer_value = inner

    return has_free_variables


has_free_variables = make_free({"from": "outside"})


def start_locals():
    for function in (has_scalars, has_texts, has_containers, has_objects):
        T.start("locals_{}".format(function.__name__[4:]), function(), on="timer", locals=True)
    T.start("locals_variables", has_variables("a", 2, 3, keyword=4, z=5), on="timer", locals=True)


# --- blocked mode --------------------------------------------------------------------------


async def yields():
    while True:
        await asyncio.sleep(0)


async def await_two(first, second):
    await first  # parked
    await second


def make_ready(number):
    """Everything that a loop has yet to do, once nobody lets it."""
    loop = asyncio.get_event_loop()

    def ready(key, **known):
        T.change(key, state="ready", on=None, **known)

    # First, as uvloop takes a number for a named task too before 3.12.
    T.start_unnamed("unstarted_unnamed", chain_2(FOREVER), number=number, state="ready")

    # Their wake-ups are in the ready queue.
    to_resolve.set_result("woken")
    ready("to_wake")
    pure_to_resolve.set_result("woken")
    ready("pure_to_wake")
    to_fail.set_exception(ValueError("failed"))
    ready("to_fail")
    done_event.set()
    ready("to_wake_by_event")
    # The gather's own callback comes first: its awaiter isn't ready yet.
    gathered[0].set_result(None)
    gathered[1].set_result(None)

    # Never started.
    for key, factory, known in [
        ("unstarted", None, {}),
        ("unstarted_own", OwnTask, {}),
        ("unstarted_pure", asyncio.tasks._PyTask, {}),
        ("unstarted_cancelled", None, {"must_cancel": True, "requested": 1, "message": "early"}),
    ]:
        T.start(key, chain_2(FOREVER), factory=factory, state="ready", **known)
    T.start("unstarted_closure", make_closure(2)(), state="ready")
    T.start("unstarted_decorated", with_decorator(1), state="ready")
    cancel_now("unstarted_cancelled", "early")

    # Cancelled: their waiters are, their wake-ups are in the ready queue.
    for key in ("in_flight", "in_flight_pure", "in_flight_message"):
        message = "quick" if key == "in_flight_message" else None
        cancel_now(key, message)
        ready(key, in_flight=True, requested=1, message=message)
    cancel_now("in_flight_twice", "first")
    cancel_now("in_flight_twice", "second")
    # From 3.11 the second request finds the waiter done, and sets must_cancel.
    ready(
        "in_flight_twice",
        in_flight=True,
        requested=2,
        must_cancel=True,
        message="second",
    )
    # Woken and then cancelled: the request can't go to the waiter any more.
    cancel_now("to_wake_cancelled", None, before=to_resolve_too)
    ready("to_wake_cancelled", must_cancel=True, requested=1)
    # The request goes to the innermost child.
    cancel_now("in_flight_parent", None)
    ready("in_flight_child", in_flight=True, requested=1)
    T.change("in_flight_parent", requested=1, passed_on=["in_flight_child"])



def cancel_now(key, message, before=None):
    if before is not None:
        before.set_result(None)
    if message is not None and V >= (3, 9):
        T[key].cancel(message)
    else:
        T[key].cancel()


def start_for_blocked():
    global to_resolve, pure_to_resolve, to_fail, done_event, gathered, to_resolve_too
    loop = asyncio.get_event_loop()
    to_resolve, to_fail = loop.create_future(), loop.create_future()
    to_resolve_too = loop.create_future()
    pure_to_resolve = asyncio.futures._PyFuture(loop=loop)
    done_event = asyncio.Event()
    gathered = [loop.create_future(), loop.create_future()]
    T.start("to_wake", await_two(to_resolve, loop.create_future()), on="future")
    T.start("pure_to_wake", never(pure_to_resolve), factory=asyncio.tasks._PyTask, on="future")
    T.start("to_fail", never(to_fail), on="future")
    T.start("to_wake_by_event", wait_event(done_event), on="event")
    T.start("gather_to_wake", await_gather(gathered), on="gather")
    T.start("in_flight", chain_3(FOREVER), on="timer")
    T.start("in_flight_pure", chain_3(FOREVER), factory=asyncio.tasks._PyTask, on="timer")
    T.start("in_flight_message", chain_3(FOREVER), on="timer")
    T.start("in_flight_twice", chain_3(FOREVER), on="timer")
    T.start("to_wake_cancelled", never(to_resolve_too), on="future")
    T.start("in_flight_child", child(), on="timer")
    T.start("in_flight_parent", await_task(T["in_flight_child"]), on="task")
    T.awaits("in_flight_parent", "in_flight_child")


def print_truth(_):
    frame = sys._getframe(1)
    common.emit_ready(T.collect(live=[("blocker", frame)]))


def plain_inner():
    # One call for both: the frames stand on the same instruction in the truth and afterwards.
    for call, argument in ((print_truth, None), (time.sleep, 3600)):
        call(argument)


def plain_outer():
    plain_inner()


async def blocker_inner():
    plain_outer()


async def blocker():
    give_up = time.monotonic() + common.GIVE_UP
    while True:
        reason = T.not_parked(blocking="blocker") if adopt_hidden() else "hidden tasks"
        if reason is None:
            break
        if time.monotonic() > give_up:
            print("not in its state:", reason, file=sys.stderr)
            common.die()
        await asyncio.sleep(0.001)
    try:
        T.start("yielding", yields(), state="ready")
        T.start("yielding_pure", yields(), factory=asyncio.tasks._PyTask, state="ready")
        number = T.next_number() + 1
        # The task made for the number ends; the others yield, and are in the ready queue again.
        await asyncio.sleep(0)
        make_ready(number)
        await blocker_inner()
    except BaseException:
        common.die()


# --- main ----------------------------------------------------------------------------------


async def main():
    loop = asyncio.get_event_loop()
    T.loop(loop, threading.get_native_id())
    T.adopt("main", on="event")
    T.entries["main"].name = T.name_before_next()
    try:
        start_plain()
        start_names()
        await start_primitives()
        start_waiters()
        start_awaitables()
        start_kinds()
        start_cancellations()
        start_locals()
        start_for_blocked()
        await start_outside()
        if options.mode == "blocked":
            T.start("blocker", blocker())
    except BaseException:
        common.die()
    built.set()
    await asyncio.Event().wait()  # parked


built = threading.Event()


def print_when_parked():
    built.wait()
    give_up = time.monotonic() + common.GIVE_UP
    while not adopt_hidden():
        assert time.monotonic() < give_up, pending_hidden
        time.sleep(0.001)
    common.emit_ready(T.wait_parked())


if options.loop == "uvloop":
    import uvloop

    T.extra["uvloop"] = uvloop.__version__
if options.trace:

    def trace(frame, event, argument):
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
gc.disable()  # done tasks are kept anyway; nothing else may move
if options.mode == "parked":
    common.watchdog(before=print_when_parked, on_line=lambda _: common.emit(T.collect()))
else:
    common.watchdog()
common.run(options.loop, main(), options.debug)
