"""A process that is waited for, and one whose output is read."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def wait_for_end(process):
    await process.wait()  # waits


async def read_output(process):
    await process.stdout.readline()  # reads


async def main():
    reader, writer = os.pipe()  # by whose end the processes end when we do
    stage.keep(writer)
    processes = [
        await asyncio.create_subprocess_exec(
            "sh", "-c", "read line", stdin=reader, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    waiter = asyncio.create_task(wait_for_end(processes[0]))
    lines = asyncio.create_task(read_output(processes[1]))
    stage.when(stage.resting({waiter: "waits", lines: "reads"}))
    await asyncio.wait({waiter, lines})


stage.run(main())
