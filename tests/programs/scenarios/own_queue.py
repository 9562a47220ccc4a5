"""anyio's worker threads wait for a silent server, in a file of the program called `queue.py`."""

import asyncio
import threading

import anyio
import anyio.to_thread

import stage
from jobs.queue import publish


async def handler(limiter, server):
    while True:
        await anyio.to_thread.run_sync(publish, server, limiter=limiter)  # waiting


def reads(thread):
    return stage.syscall(thread.native_id) == "45"  # recvfrom on x86-64


async def main():
    limiter = anyio.CapacityLimiter(2)
    server = stage.silent_server()
    tasks = [
        asyncio.create_task(handler(limiter, server), name="handler-%d" % n) for n in range(7)
    ]
    parked = stage.resting({task: "waiting" for task in tasks})
    stage.when(
        lambda: parked() and sum(reads(thread) for thread in threading.enumerate()) == 2,
        lambda: [stage.finding("executor-saturated", "critical", tasks[2:], kind="limiter")],
        also=["executor-job-stuck", "lock-convoy"],
        waiting=lambda: [stage.waits(task, "executor") for task in tasks[:2]],
        held_for=stage.STUCK,
    )
    await asyncio.wait(tasks)


stage.run(main())
