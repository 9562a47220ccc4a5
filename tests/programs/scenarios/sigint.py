"""Ctrl-C cancels the main task (3.11+), which takes that for one more error."""

import asyncio
import os
import signal

import stage

seen = []


async def fetch():
    await asyncio.sleep(stage.FOREVER)  # culprit


async def main():
    task = asyncio.current_task()
    task.set_name("main")
    parked = stage.resting({task: "culprit"})
    stage.when(
        lambda: seen and parked(),
        lambda: [stage.finding("cancel-swallowed", "warning", [task], ["culprit", "eaten"])],
    )
    asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
    while True:
        try:
            await fetch()
        except asyncio.CancelledError:  # eaten
            seen.append(1)


signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
asyncio.run(main())
