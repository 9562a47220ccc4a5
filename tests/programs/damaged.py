"""A program that has damaged its own objects and then only sleeps.

    damaged.py objects|interpreters

objects: one of each kind that a reader follows; the truth is {"pid", "unread": [task],
"damaged": [place]}, places as a dump names them.
interpreters: the list of interpreters leads to one that is its own successor and has no modules.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import ctypes
import gc
import os
import time

import common
from common import FOREVER, address

HUGE = 1 << 55
KEPT = []


def peek(at):
    return int.from_bytes(ctypes.string_at(at, 8), "little")


def poke(at, value):
    ctypes.memmove(at, value.to_bytes(8, "little"), 8)


def place_of(owner, thing, length):
    """Where in the first bytes of an object the address of another one is."""
    return next(at for at in range(id(owner) + 16, id(owner) + length, 8) if peek(at) == id(thing))


async def hold(value):
    await asyncio.sleep(FOREVER)
    return value


async def wait_for(lock):
    async with lock:
        pass


async def objects():
    tasks = {}

    def start(name, coroutine):
        tasks[name] = asyncio.ensure_future(coroutine)

    values = {"list": [1, 2], "tuple": (1, object()), "str": "".join(["da", "maged"]), "dict": {1: 2}}
    for kind, value in values.items():
        start(kind, hold(value))
    for name in ("sound", "gone", "moved"):
        start(name, hold(name))
    lock = asyncio.Lock()
    await lock.acquire()
    start("lock", wait_for(lock))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    other = asyncio.new_event_loop()
    KEPT.extend([tasks, values, lock, other, other.create_task(hold(other))])
    other.call_later(FOREVER, print)

    for kind in ("list", "tuple", "str"):
        poke(id(values[kind]) + 16, HUGE)
    # 3.15 has no version tag before the keys.
    keys = 24 if peek(id(values["dict"]) + 24) > 1 << 40 else 32
    poke(id(values["dict"]) + keys, 16)
    poke(id(lock._waiters) + 16, HUGE)
    poke(id(other._ready) + 16, HUGE)
    poke(id(other._scheduled) + 16, HUGE)
    poke(id(tasks["gone"]) + 8, 0x4141)
    moved = tasks["moved"]
    poke(place_of(moved, moved._fut_waiter, 400), id(tasks["sound"]._fut_waiter))

    damaged = ["{} {}".format(kind, address(value)) for kind, value in values.items()]
    damaged.append("deque " + address(lock._waiters))
    damaged += ["loop " + address(other), "task " + address(tasks["moved"])]
    truth = {"pid": os.getpid(), "unread": [address(tasks["gone"])], "damaged": damaged}
    common.emit_ready(truth)
    time.sleep(FOREVER)


async def interpreters():
    name = "PyInterpreterState_Get" if sys.version_info >= (3, 9) else "_PyInterpreterState_Get"
    get = getattr(ctypes.pythonapi, name)
    get.restype = ctypes.c_void_p
    interpreter = get()
    runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    head = next(at for at in range(runtime, runtime + 3200, 8) if peek(at) == interpreter)
    # As large as an interpreter's state, all words of it its own address but for the modules.
    length = 480000
    ring = ctypes.create_string_buffer(length)
    KEPT.append(ring)
    words = (ctypes.c_uint64 * (length // 8)).from_buffer(ring)
    for at in range(len(words)):
        words[at] = ctypes.addressof(ring)
    known = ctypes.string_at(interpreter, 100000)
    for at in range(0, len(known), 8):
        if known[at : at + 8] == id(sys.modules).to_bytes(8, "little"):
            words[at // 8] = 0
    poke(head, ctypes.addressof(ring))
    common.emit_ready({"pid": os.getpid()})
    time.sleep(FOREVER)


gc.disable()  # it would follow what is damaged
common.watchdog()
asyncio.run({"objects": objects, "interpreters": interpreters}[sys.argv[1]]())
