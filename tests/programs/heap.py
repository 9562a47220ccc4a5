"""A program with a heap of so many MiB, in small objects.

    heap.py MIB

Twenty tasks wait for events that the module knows, and one for an event that nobody else knows.
"""

import sys

sys.dont_write_bytecode = True

import asyncio

import common

events = [asyncio.Event() for _ in range(20)] if sys.version_info >= (3, 10) else []


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


async def wait(event):
    await event.wait()


async def main():
    rows = []
    while resident() < int(sys.argv[1]) << 20:
        rows.extend({"id": n, "tags": [n, str(n)], "of": (n, rows)} for n in range(10_000))
    if not events:  # before 3.10 an event is made for the loop that is there
        events.extend(asyncio.Event() for _ in range(20))
    tasks = [asyncio.ensure_future(wait(event)) for event in events + [asyncio.Event()]]
    await asyncio.sleep(0)
    common.watchdog()
    common.emit_ready({"rows": len(rows)})
    await asyncio.wait(tasks)


asyncio.run(main())
