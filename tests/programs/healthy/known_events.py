"""Events that only one task waits for, each known to something else that may set it one day."""

import asyncio
import atexit
import contextvars
import ctypes
import functools
import itertools
import os
import signal
import sys
import threading
import weakref

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


class Plain:
    pass


class Last:
    """Sets its event when it goes."""

    def __init__(self, event):
        self.event = event

    def __del__(self):
        self.event.set()


class Service:
    def __init__(self, event):
        self.event = event

    def stop(self):
        self.event.set()


_thing = Plain()
_by_name = weakref.WeakValueDictionary()
_current = contextvars.ContextVar("current")
_native = (ctypes.c_void_p * 4)()
_kept = []
_never = threading.Event()


def timer(event):
    asyncio.get_running_loop().call_later(stage.FOREVER, lambda: event.set())


def timer_of_method(event):
    asyncio.get_running_loop().call_later(stage.FOREVER, Service(event).stop)


def thread(event):
    def work(local):
        _never.wait()
        local.set()

    started = threading.Thread(target=work, args=(event,), daemon=True)
    started.start()


def native(event):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(event))
    _native[0] = id(event)


def at_exit(event):
    atexit.register(event.set)


def signalled(event):
    signal.signal(signal.SIGUSR2, lambda *_: event.set())


def loop_signal(event):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)


def weak_callback(event):
    return weakref.ref(_thing, lambda _: event.set())


def weakly_known(event):
    _by_name["event"] = event


def weakly_kept(event):
    _kept.append(weakref.ref(event))


def context(event):
    contextvars.copy_context().run(_current.set, event)
    own = contextvars.copy_context()
    own.run(_current.set, event)
    asyncio.get_running_loop().call_later(stage.FOREVER, print, context=own)


def other_frame(event):
    async def other(local):
        await asyncio.sleep(stage.FOREVER)
        local.set()

    _kept.append(asyncio.ensure_future(other(event)))


def deep_in_another(event):
    async def inner(service):
        await asyncio.sleep(stage.FOREVER)
        service.stop()

    async def outer():
        await inner(Service(event))

    _kept.append(asyncio.ensure_future(outer()))


def not_begun(event):
    async def later():
        event.set()

    coroutine = later()
    asyncio.get_running_loop().call_later(stage.FOREVER, asyncio.ensure_future, coroutine)


def generator(event):
    def steps():
        yield
        event.set()

    running = steps()
    next(running)
    _kept.append(running)


def agenerator(event):
    async def steps():
        yield 1
        event.set()

    async def driver():
        async for _ in steps():
            await asyncio.sleep(stage.FOREVER)

    _kept.append(asyncio.ensure_future(driver()))


def done_callback(event):
    task = asyncio.ensure_future(asyncio.sleep(stage.FOREVER))
    task.add_done_callback(lambda _: event.set())


def cached(event):
    @functools.lru_cache(maxsize=None)
    def remembered(number):
        return event

    remembered(1)
    _kept.append(remembered)


def iterator(event):
    _kept.append(itertools.cycle([event]))


def frozen(event):
    _kept.append(frozenset([(1, (event,))]))


def large_table(event):
    _kept.append({number: None for number in range(5000)})
    _kept[-1][4711] = event


def long_list(event):
    _kept.append([None] * 5000 + [event])


def in_the_end(event):
    _kept.append(Last(event))


def default_argument(event):
    def announce(it=event):
        it.set()

    _kept.append(announce)


def class_attribute(event):
    _kept.append(type("Holder", (), {"event": event}))


def queued(event):
    queue = asyncio.Queue()
    queue.put_nowait(event)

    async def worker():
        await asyncio.sleep(stage.FOREVER)
        (await queue.get()).set()

    _kept.append(asyncio.ensure_future(worker()))


def exception_handler(event):
    asyncio.get_running_loop().set_exception_handler(lambda *_: event.set())


KINDS = [
    timer,
    timer_of_method,
    thread,
    native,
    at_exit,
    signalled,
    weak_callback,
    weakly_known,
    weakly_kept,
    context,
    other_frame,
    deep_in_another,
    not_begun,
    generator,
    agenerator,
    done_callback,
    cached,
    iterator,
    frozen,
    large_table,
    long_list,
    in_the_end,
    default_argument,
    class_attribute,
    queued,
    exception_handler,
]
if not stage.options.uvloop:
    KINDS.append(loop_signal)


async def wait(kind):
    ready = asyncio.Event()
    known = kind(ready)
    await ready.wait()  # waits
    return known


async def limited(event):
    await event.wait()  # limited


async def limits():
    """Sets the event itself, when the time is over."""
    event = asyncio.Event()
    task = asyncio.ensure_future(limited(event))
    await asyncio.wait([task], timeout=stage.FOREVER)
    event.set()


async def alone():
    nobody_sets_it = asyncio.Event()
    await nobody_sets_it.wait()


async def gives_up():
    """Waits no longer than it says."""
    await asyncio.wait([asyncio.ensure_future(alone())], timeout=stage.FOREVER)


async def told(event):
    await event.wait()  # told


async def in_its_end():
    """Sets the event when it is cancelled."""
    event = asyncio.Event()
    task = asyncio.ensure_future(told(event))
    try:
        await asyncio.wait([task])
    finally:
        event.set()


async def either(event):
    await event.wait()  # either


async def whichever():
    """Sets the event when something else is over."""
    event = asyncio.Event()
    task = asyncio.ensure_future(either(event))
    other = asyncio.ensure_future(asyncio.sleep(stage.FOREVER))
    await asyncio.wait([task, other], return_when=asyncio.FIRST_COMPLETED)
    event.set()


async def main():
    tasks = {asyncio.ensure_future(wait(kind)): "waits" for kind in KINDS}
    others = [asyncio.ensure_future(it) for it in (limits(), whichever(), in_its_end(), gives_up())]
    stage.when(stage.resting(tasks))
    await asyncio.gather(*tasks, *others)


stage.run(main())
