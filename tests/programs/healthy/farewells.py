"""Good-byes that take half a second: of tasks that are cancelled all the time, and at the end of runs.

A session rolls back in its `finally`, and waits for an answer that takes a while. `asyncio.run`
cancels what is left of each run: one that rolls back too, and one that sleeps; a job in a thread
and an asynchronous generator take a moment to end.
"""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

ended = [0]


async def answer(reader, writer):
    try:
        while await reader.readline():
            await asyncio.sleep(0.4)
            writer.write(b"bye\n")
        writer.close()
    except (asyncio.CancelledError, ConnectionError):
        pass


async def session(address):
    reader, writer = await asyncio.open_connection(*address)
    try:
        await asyncio.sleep(stage.FOREVER)
    finally:
        writer.write(b"rollback\n")
        await reader.readline()
        writer.close()


async def sleeper():
    try:
        await asyncio.sleep(stage.FOREVER)
    finally:
        await asyncio.sleep(0.6)


async def rows():
    try:
        while True:
            yield 1
    finally:
        await asyncio.sleep(0.4)


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for _ in range(2):
        tasks = [asyncio.ensure_future(session(address)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    server.close()
    kept[:] = [asyncio.ensure_future(sleeper()), rows()]
    async for _ in kept[1]:
        break
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.8)
    await asyncio.sleep(0.01)
    ended[0] += 1


kept = []
# They end by themselves, and until then it is true that they are awaited.
ENDING = ["asyncgen-open", "cleanup-stuck", "executor-job-stuck", "shutdown-stuck"]
stage.when(lambda: ended[0] > 0, also=ENDING)
while True:
    stage.run(main())
