"""Long timeouts that are not yet due, and short ones that are and work."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

expired = [0]


async def patient(reader):
    if hasattr(asyncio, "timeout"):
        async with asyncio.timeout(stage.FOREVER):
            await reader.readline()
    else:
        await asyncio.wait_for(reader.readline(), stage.FOREVER)


async def impatient(reader):
    while True:
        try:
            await asyncio.wait_for(reader.readline(), 0.01)
        except asyncio.TimeoutError:
            expired[0] += 1


async def main():
    address = stage.silent_server()
    tasks = []
    for function in (patient, impatient, impatient):
        reader, writer = await asyncio.open_connection(*address)
        tasks.append(asyncio.create_task(function(reader)))
        stage.keep(writer)
    stage.when(lambda: expired[0] > 4)
    await asyncio.wait(tasks)


stage.run(main())
