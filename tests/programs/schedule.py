"""Blocks its loop on a schedule that it logs itself: how long, by what, at which line.

    schedule.py [--uvloop] [--nest-asyncio] [--seconds N]

With --nest-asyncio it all runs in a nested run of the loop, which that library makes possible.
Prints READY when its loop runs, and when it is over one line of JSON with all blocks: beginning
and end by CLOCK_MONOTONIC, kind, line, and how long its thread waited for a processor in the
iterations around it. Between the blocks it does short work, as services do.
"""

import argparse
import asyncio
import itertools
import json
import os
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

LENGTHS = (0.02, 0.05, 0.1, 0.3, 2.0)
lock = threading.Lock()
near, far = socket.socketpair()
taken = threading.Event()
asked = threading.Event()
length = [0.0]


def partner():
    """Answers, and lets go of the lock, some time after it was asked to."""
    while True:
        asked.wait()
        asked.clear()
        if kind[0] == "lock":
            with lock:
                taken.set()
                time.sleep(length[0])
        else:
            taken.set()
            time.sleep(length[0])
            far.send(b"x")


kind = [""]


def by_sleep(seconds):
    time.sleep(seconds)  # sleep


def by_cpu(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))  # cpu


def by_socket(seconds):
    near.recv(1)  # socket


def by_lock(seconds):
    lock.acquire()  # lock
    lock.release()


KINDS = {"sleep": by_sleep, "cpu": by_cpu, "socket": by_socket, "lock": by_lock}


def waited():
    """For how long this thread was ready for a processor and had none, in seconds."""
    with open("/proc/thread-self/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


async def block(name, seconds):
    """One block, with its beginning and end as the program sees them."""
    kind[0], length[0] = name, seconds
    taken.clear()
    if name == "lock":
        asked.set()
        while not taken.is_set():
            await asyncio.sleep(0.001)
    before = waited()
    await asyncio.sleep(0)  # an iteration of its own
    began = time.monotonic()
    if name == "socket":
        asked.set()
    KINDS[name](seconds)
    ended = time.monotonic()
    await asyncio.sleep(0)
    waits = waited() - before
    blocks.append({"kind": name, "began": began, "ended": ended, "line": lines[name], "waited": waits})


async def noise():
    while True:
        await asyncio.sleep(0.002)


async def main(seconds):
    others = [asyncio.ensure_future(noise()) for _ in range(3)]
    print("READY", flush=True)
    until = time.monotonic() + seconds
    for name, wanted in itertools.cycle(itertools.product(KINDS, LENGTHS)):
        await asyncio.sleep(0.05)
        if time.monotonic() > until:
            break
        await block(name, wanted)
    await asyncio.sleep(0.3)
    for other in others:
        other.cancel()


async def nested(coroutine):
    await asyncio.sleep(0)
    asyncio.get_event_loop().run_until_complete(coroutine)


with open(__file__) as source:
    lines = {text.rsplit("# ", 1)[1].strip(): n for n, text in enumerate(source, 1) if text.rstrip().endswith(tuple("# " + k for k in KINDS))}
parser = argparse.ArgumentParser()
parser.add_argument("--uvloop", action="store_true")
parser.add_argument("--nest-asyncio", action="store_true")
parser.add_argument("--seconds", type=float, default=15)
options = parser.parse_args()
blocks = []
common.watchdog()
threading.Thread(target=partner, daemon=True).start()
if options.nest_asyncio:
    import nest_asyncio

    nest_asyncio.apply()
    asyncio.run(nested(main(options.seconds)))
else:
    common.run("uvloop" if options.uvloop else "asyncio", main(options.seconds))
print(json.dumps(blocks), flush=True)
