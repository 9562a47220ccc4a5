"""Ways to run for ever, and to wait for a signal."""

import asyncio
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def until_signalled():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stop.set)
    await stop.wait()  # signal


async def future():
    await asyncio.Future()  # future


async def event():
    await asyncio.Event().wait()  # event


async def sleeping():
    while True:
        await asyncio.sleep(3600)  # sleep


async def main():
    signalled = asyncio.create_task(until_signalled())
    sleeper = asyncio.create_task(sleeping())
    stage.when(stage.resting({signalled: "signal", sleeper: "sleep"}))
    await (future() if stage.kind == "future" else event())


stage.run(main())
