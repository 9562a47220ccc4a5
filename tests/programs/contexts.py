"""Which `with` and `async with` blocks each task and thread is in, in many shapes of code.

    contexts.py [traced]

Each shape says by construction what it has entered before it comes to rest: `entered` are the
context managers of the blocks in this file that it is in, outermost first; `held` is the same
with what contextlib's managers and asynchronous generators hold in turn.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import contextlib
import os
import threading
import types
from unittest import mock

import common

TASKS = {}
THREADS = {}
SHAPES = []
KEEP = []


class Manager:
    """Enters and leaves at once, either way."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        return False


class SlowEnter(Manager):
    async def __aenter__(self):
        await forever()


class SlowExit(Manager):
    async def __aexit__(self, *exc):
        await forever()


class Suppressing(Manager):
    def __exit__(self, *exc):
        return True


class OfClass:
    """Its `__exit__` is bound to the class."""

    def __enter__(self):
        return self

    @classmethod
    def __exit__(cls, *exc):
        return False


class Slotted:
    __slots__ = ()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        return False


def shape(function):
    SHAPES.append(function)
    return function


def ids(things):
    return [common.address(thing) for thing in things]


def says(*entered, held=None):
    """What the running task has entered when it comes to rest."""
    KEEP.extend(entered)
    truth = {"entered": ids(entered), "held": ids(entered if held is None else held)}
    task = asyncio.current_task()
    TASKS[common.address(task)] = dict(truth, name=task.get_name())


def thread_says(*entered):
    KEEP.extend(entered)
    truth = {"entered": ids(entered), "held": ids(entered)}
    THREADS[str(threading.get_native_id())] = dict(truth, name=threading.current_thread().name)


def forever():
    return asyncio.get_running_loop().create_future()


# --- plain blocks ---------------------------------------------------------------------------


@shape
async def none():
    says()
    await forever()


@shape
async def nested():
    a, b, c, d = Manager(), Manager(), Manager(), Slotted()
    with a:
        async with b:
            with c as _, b as _:
                async with d:
                    says(a, b, c, b, d)
                    await forever()


@shape
async def left():
    a, b, c = Manager(), Manager(), Manager()
    with a:
        async with b:
            pass
        with c:
            pass
        says(a)
        await forever()


@shape
async def in_loops():
    a, b = Manager(), Manager()
    for _ in (1, 2, 3):
        async with a:
            if _ < 3:
                continue
            for _ in range(5):
                while True:
                    with b:
                        says(a, b)
                        await forever()


@shape
async def broken_out_of():
    a, b = Manager(), Manager()
    for _ in range(3):
        with a:
            async with b:
                if _ == 1:
                    break
    else:
        return
    with b:
        says(b)
        await forever()


@shape
async def in_try():
    a, b = Manager(), Manager()
    try:
        async with a:
            try:
                with b:
                    try:
                        says(a, b)
                        await forever()
                    finally:
                        KEEP.append(1)
            except (ValueError, TypeError):
                raise
    except OSError:
        pass
    finally:
        KEEP.append(2)


@shape
async def handler_inside():
    a, b = Manager(), Manager()
    async with a:
        try:
            with b:
                raise KeyError(1)
        except KeyError:
            says(a)
            await forever()


@shape
async def inside_handler():
    a, b = Manager(), Manager()
    with a:
        try:
            raise KeyError(1)
        except ValueError:
            pass
        except KeyError as error:
            async with b:
                says(a, b)
                await forever()
                print(error)


@shape
async def inside_finally_after_error():
    a, b = Manager(), Manager()
    with a:
        try:
            raise KeyError(1)
        finally:
            async with b:
                says(a, b)
                await forever()


@shape
async def inside_finally():
    a, b = Manager(), Manager()
    with a:
        try:
            pass
        finally:
            async with b:
                says(a, b)
                await forever()


@shape
async def inside_finally_at_return():
    a, b, c = Manager(), Manager(), Manager()
    with a:
        try:
            with c:
                return 1
        finally:
            async with b:
                says(a, b)
                await forever()


@shape
async def after_suppressed():
    a, b = Suppressing(), Manager()
    async with b:
        with a:
            raise KeyError(1)
        says(b)
        await forever()


@shape
async def many_deep():
    m = [Manager() for _ in range(9)]
    async with m[0]:
        with m[1]:
            async with m[2]:
                with m[3]:
                    async with m[4]:
                        with m[5]:
                            async with m[6]:
                                with m[7]:
                                    async with m[8]:
                                        says(*m)
                                        await forever()


@shape
async def hot():
    a, b = Manager(), Suppressing()
    for i in range(3000):
        with a:
            with b:
                raise KeyError
        async with a:
            pass
    async with a:
        with b:
            says(a, b)
            await forever()


# --- entering and leaving -------------------------------------------------------------------


@shape
async def entering():
    a = Manager()
    says(a)
    async with a:
        async with SlowEnter():
            pass


@shape
async def leaving():
    a = Manager()
    says(a)
    async with a:
        async with SlowExit():
            pass


@shape
async def leaving_by_error():
    a = Manager()
    says(a)
    with a:
        async with SlowExit():
            raise KeyError(1)


@shape
async def leaving_by_return():
    a = Manager()
    says(a)
    with a:
        async with SlowExit():
            return 1


# --- other kinds of frames ------------------------------------------------------------------


@shape
async def comprehension():
    a = Manager()

    async def rest(_):
        says(a)
        await forever()

    with a:
        return [await rest(_) for _ in range(2)]


@shape
async def async_comprehension():
    a, b = Manager(), Manager()

    async def numbers():
        async with b:
            says(a, b)
            await forever()
            yield 1

    async with a:
        return {x: 1 async for x in numbers()}


@shape
async def inner_coroutine():
    a, b, c = Manager(), Manager(), Manager()

    async def inner():
        with b, c:
            says(a, b, c)
            await forever()

    async with a:
        await inner()


@shape
async def generator_coroutine():
    a, b = Manager(), Manager()

    @types.coroutine
    def inner():
        with b:
            says(a, b)
            yield from forever()

    with a:
        await inner()


@shape
async def iterating():
    """The generator that the loop goes over holds something meanwhile."""
    a, b, c = Manager(), Manager(), Manager()

    async def numbers():
        async with b:
            with c:
                yield 1

    async with a:
        async for _ in numbers():
            says(a, held=[a, b, c])
            await forever()


@shape
async def iterated_before():
    a, b = Manager(), Manager()

    async def numbers():
        async with b:
            yield 1

    async with a:
        async for _ in numbers():
            pass
        says(a)
        await forever()


# --- contextlib -----------------------------------------------------------------------------


@shape
async def from_generator():
    a, b = Manager(), threading.Lock()

    @contextlib.contextmanager
    def both():
        with a:
            with b:
                yield

    c = both()
    with c:
        says(c, held=[c, a, b])
        await forever()


@shape
async def from_async_generator():
    lock, a, b = asyncio.Lock(), Manager(), Manager()

    @contextlib.asynccontextmanager
    async def inner():
        async with lock:
            yield

    i = inner()

    @contextlib.asynccontextmanager
    async def outer():
        with b:
            async with i:
                yield

    o = outer()
    async with a:
        async with o:
            says(a, o, held=[a, o, b, i, lock])
            await forever()


@shape
async def from_generator_entering():
    a, b = Manager(), Manager()

    @contextlib.asynccontextmanager
    async def inner():
        async with b:
            says(a, b)
            await forever()
            yield

    async with a:
        async with inner():
            pass


@shape
async def exit_stack():
    a, b, c = Manager(), threading.Lock(), threading.RLock()
    stack = contextlib.ExitStack()
    with stack:
        stack.enter_context(a)
        stack.enter_context(b)
        c.acquire()
        stack.callback(c.release)
        stack.callback(print, "never")
        stack.callback(Manager().__enter__)
        says(stack, held=[stack, a, b, c])
        await forever()


@shape
async def async_exit_stack():
    a, b, c, lock = Manager(), Manager(), Slotted(), asyncio.Lock()

    @contextlib.asynccontextmanager
    async def inner():
        async with lock:
            yield

    i = inner()
    async with a:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(i)
            await stack.enter_async_context(c)
            stack.enter_context(b)
            says(a, stack, held=[a, stack, i, lock, c, b])
            await forever()


# --- other managers -------------------------------------------------------------------------


@shape
async def built_in():
    lock, file, view = threading.Lock(), open(os.devnull), memoryview(b"abc")
    with lock, file:
        with view:
            says(lock, file, view)
            await forever()


@shape
async def bound_to_class():
    a = Manager()
    with a:
        with OfClass():
            says(a, OfClass)
            await forever()


@shape
async def unknown():
    """Nobody can tell from a mock's `__exit__` whose it is."""
    a = Manager()
    with a:
        with mock.MagicMock():
            says(a)
            await forever()


@shape
async def of_asyncio():
    lock, semaphore, condition = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Condition()
    async with lock:
        async with semaphore, condition:
            says(lock, semaphore, condition)
            await forever()


LOCK = []


@shape
async def holder():
    LOCK.append(asyncio.Lock())
    async with LOCK[0]:
        says(LOCK[0])
        await forever()


@shape
async def waiter():
    a = Manager()
    async with a:
        says(a)
        async with LOCK[0]:
            pass


# --- newer syntax and library ---------------------------------------------------------------

NEWER = {
    (3, 10): """
@shape
async def in_match():
    a, b = Manager(), Manager()
    for x in [(1, 2)]:
        async with (a as y, b):
            match x:
                case [1, _]:
                    with b:
                        says(a, b, b)
                        await forever()
""",
    (3, 11): """
@shape
async def timeouts_and_groups():
    async with asyncio.timeout(10**6) as a:
        async with asyncio.TaskGroup() as b:
            says(a, b)
            await forever()

@shape
async def in_group_handler():
    a, b = Manager(), Manager()
    async with a:
        try:
            raise ExceptionGroup("", [KeyError(1), ValueError(2)])
        except* KeyError:
            with b:
                says(a, b)
                await forever()
        except* ValueError:
            pass
""",
}

# Offsets beyond what one argument and one group of the exception table hold.
LONG = """
@shape
async def long():
    a, b, c = Manager(), Manager(), Manager()
    {filler}
    for _ in range(1):
        async with a:
            {filler}
            with b:
                {filler}
                with c:
                    {filler}
                {filler}
                says(a, b)
                await forever()
                {filler}
""".format(filler=";".join("_ = {}.0 + 1".format(n) for n in range(400)))


def define(source):
    exec(compile(source, __file__, "exec"), globals())


for version, source in NEWER.items():
    if sys.version_info >= version:
        define(source)
define(LONG)


# --- threads --------------------------------------------------------------------------------


def rest(started):
    """Comes to rest in C, below a frame that holds nothing."""
    started.release()
    NEVER.acquire()


NEVER = threading.Lock()
NEVER.acquire()


def thread_with_locks(started):
    lock, rlock, a = threading.Lock(), threading.RLock(), Manager()
    with lock:
        with a:
            for _ in range(1):
                with rlock:
                    thread_says(lock, a, rlock)
                    rest(started)


def thread_in_handler(started):
    lock, a = threading.Lock(), Manager()
    with lock:
        try:
            with a:
                raise KeyError(1)
        except KeyError:
            with a:
                thread_says(lock, a)
                rest(started)


def thread_in_exit(started):
    class Blocking(Manager):
        def __exit__(self, *exc):
            rest(started)

    a = Manager()
    with a:
        thread_says(a)
        with Blocking():
            pass


def thread_in_generator(started):
    a, b = Manager(), threading.Lock()

    def numbers():
        with b:
            thread_says(a, b)
            rest(started)
            yield 1

    with a:
        for _ in numbers():
            pass


def thread_with_loop(started):
    a, b, c = Manager(), Manager(), threading.Lock()

    async def inner():
        with c:
            thread_says(a, b, c)
            rest(started)

    async def outer():
        async with b:
            await inner()

    with a:
        asyncio.new_event_loop().run_until_complete(outer())


def thread_waiting_for_lock(started):
    lock, a = threading.Lock(), Manager()
    with a:
        thread_says(a)
        started.release()
        with NEVER:
            with lock:
                pass


THREAD_SHAPES = [
    thread_with_locks,
    thread_in_handler,
    thread_in_exit,
    thread_in_generator,
    thread_with_loop,
    thread_waiting_for_lock,
]


# --- the program ----------------------------------------------------------------------------


async def main():
    tasks = []
    for function in SHAPES:
        task = asyncio.ensure_future(function())
        task.set_name(function.__name__)
        tasks.append(task)
    started = threading.Semaphore(0)
    for function in THREAD_SHAPES:
        thread = threading.Thread(target=function, args=(started,), name=function.__name__)
        thread.daemon = True
        thread.start()
    for _ in THREAD_SHAPES:
        started.acquire()
    while any(task._fut_waiter is None for task in tasks):
        assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
        await asyncio.sleep(0)
    assert {task.get_name() for task in tasks} == {one["name"] for one in TASKS.values()}
    assert len(THREADS) == len(THREAD_SHAPES)
    value = {"tasks": TASKS, "threads": THREADS, "file": __file__}
    tid = threading.get_native_id()
    threading.Thread(target=common.emit_ready_when_polling, args=(tid, value)).start()
    says()
    await forever()


if __name__ == "__main__":
    common.watchdog()
    if "traced" in sys.argv[1:]:

        def trace(frame, event, argument):
            return trace

        sys.settrace(trace)
        threading.settrace(trace)
    asyncio.run(main())
