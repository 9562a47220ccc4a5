"""Tasks of five shapes that spend known shares of their time in known states.

    shares.py [--uvloop] [--seconds N] [--turn SECONDS]

Each turn is the same: what waits changes its state at moments at which nothing holds the loop, so
that hardly ever a task only waits for its turn. Prints READY when its loop runs, and when it is
over one line of JSON with the states of each task and since when it was in them, as it saw that
itself, by the machine's clock: {"sock-1": [[1790000000.25, "timer"], [1790000000.35, "socket"], ...],
...}; the last is "over".
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

# Samples every 10 ms come as evenly to all moments of such a turn as they can (what is left of it
# behind a multiple of 10 ms is in the golden ratio to these); at 217 ms they came to each tenth of
# them only, and told shares by half a point wrong.
TURN = 0.21618
states = {}


class Watch:
    """Which state a task is in, by its own account."""

    def __init__(self, name):
        self.states = states.setdefault(name, [])
        self.now("timer")

    def now(self, state):
        self.states.append((time.time(), state))


async def until(moment):
    await asyncio.sleep(max(0, moment - time.monotonic()))


async def sock(watch, start):
    """45 % socket, the rest timer."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    for turn in range(turns):
        begin = start + turn * TURN
        await until(begin)
        loop.call_later(begin + 0.45 * TURN - time.monotonic(), far.send, b"x")
        watch.now("socket")
        await loop.sock_recv(near, 1)
        watch.now("timer")


async def lock(watch, start, lock, is_first):
    """The first holds the lock for 30 % of the time; the others wait that long for it."""
    for turn in range(turns):
        await until(start + turn * TURN + (0 if is_first else 0.05 * TURN))
        watch.now("lock")
        async with lock:
            watch.now("timer")
            if is_first:
                await until(start + (turn + 0.3) * TURN)


async def executor(watch, start):
    """35 % in a thread."""
    loop = asyncio.get_running_loop()
    for turn in range(turns):
        await until(start + (turn + 0.02) * TURN)
        watch.now("executor")
        await loop.run_in_executor(None, time.sleep, 0.35 * TURN)
        watch.now("timer")


async def run(watch, start):
    """15 % on the processor."""
    for turn in range(turns):
        await until(start + (turn + 0.75) * TURN)
        watch.now("running")
        while time.monotonic() < start + (turn + 0.9) * TURN:
            sum(range(1000))
        watch.now("timer")


async def block(watch, start):
    """12.5 % in a call that blocks."""
    for turn in range(turns):
        await until(start + (turn + 0.5) * TURN)
        watch.now("blocking")
        time.sleep(max(0, start + (turn + 0.625) * TURN - time.monotonic()))
        watch.now("timer")


async def main():
    start = time.monotonic() + 0.1
    shared = asyncio.Lock()
    work = [
        ("sock-1", sock, ()),
        ("sock-2", sock, ()),
        ("lock-1", lock, (shared, True)),
        ("lock-2", lock, (shared, False)),
        ("exec-1", executor, ()),
        ("exec-2", executor, ()),
        ("run-1", run, ()),
        ("block-1", block, ()),
    ]
    loop = asyncio.get_running_loop()
    watches = [Watch(name) for name, _, _ in work]
    tasks = [
        loop.create_task(function(watch, start, *more), name=name)
        for watch, (name, function, more) in zip(watches, work)
    ]
    print("READY", flush=True)
    await asyncio.gather(*tasks)
    for watch in watches:
        watch.now("over")


parser = argparse.ArgumentParser()
parser.add_argument("--uvloop", action="store_true")
parser.add_argument("--seconds", type=float, default=10)
parser.add_argument("--turn", type=float, default=TURN)
parser.add_argument("rest", nargs="*", help="of no meaning: to be seen on the command line")
options = parser.parse_args()
TURN = options.turn
turns = int(options.seconds / TURN)
common.watchdog()
common.run("uvloop" if options.uvloop else "asyncio", main())
print(json.dumps(states), flush=True)
