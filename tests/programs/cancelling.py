"""Tasks that are cancelled and do different things about it, at moments that are logged.

    cancelling.py

After READY, and a line on its standard input, it cancels, half a second apart:
  cleaner  cleans up for a second and ends
  eater    cleans up for half a second and goes on as if nothing had been asked
  taker    (3.11 and later) takes the request back and goes on
  awaiter  awaits a task that is cancelled, and is well: nobody asked it to end
Then prints {"cleaner": {"asked": seconds of CLOCK_MONOTONIC, ...}, ...} and waits for its
standard input to end.
"""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

log = {}


def note(name, what):
    log.setdefault(name, {})[what] = time.monotonic()


async def cleaner():
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(1)  # cleaning
        note("cleaner", "ended")


async def eater():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:  # eaten
        await asyncio.sleep(0.5)
    note("eater", "went_on")
    await asyncio.Event().wait()


async def taker():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)
        asyncio.current_task().uncancel()
    note("taker", "went_on")
    await asyncio.Event().wait()


async def awaiter(other):
    try:
        await other
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)
    await asyncio.Event().wait()


async def ask(task, name):
    note(name, "asked")
    task.cancel()
    await asyncio.sleep(0.5)


async def main():
    global watched, loop
    loop = asyncio.get_event_loop()
    watched = asyncio.Event()
    start = lambda coroutine, name: loop.create_task(coroutine, name=name)
    tasks = {"cleaner": start(cleaner(), "cleaner"), "eater": start(eater(), "eater")}
    if sys.version_info >= (3, 11):
        tasks["taker"] = start(taker(), "taker")
    other = start(asyncio.sleep(1000), "other")
    tasks["awaiter"] = start(awaiter(other), "awaiter")
    await asyncio.sleep(0)
    truth = {name: common.address(task) for name, task in tasks.items()}
    common.emit_ready(truth)
    await watched.wait()
    for name in ("cleaner", "eater", "taker"):
        if name in tasks:
            await ask(tasks[name], name)
    await ask(other, "other")
    await asyncio.sleep(1)
    common.emit(log)
    await asyncio.Event().wait()


common.watchdog(on_line=lambda _: loop.call_soon_threadsafe(watched.set))
asyncio.run(main())
