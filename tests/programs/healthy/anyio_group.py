"""A group of anyio's tasks: threads that come and go, a stream that is read, a timeout not yet due."""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import anyio
import anyio.to_thread

import stage

done = [0]


def job():
    time.sleep(0.002)
    done[0] += 1


async def offload():
    while True:
        await anyio.to_thread.run_sync(job)


async def read(stream):
    async for item in stream:
        print(item)


async def patient(event):
    with anyio.move_on_after(stage.FOREVER):
        await event.wait()


async def main():
    sending, receiving = anyio.create_memory_object_stream(10)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(offload)
        group.start_soon(read, receiving)
        group.start_soon(patient, anyio.Event())
        stage.when(lambda: done[0] > 10)
        await asyncio.sleep(stage.FOREVER)
        await sending.send("news")


stage.run(main())
