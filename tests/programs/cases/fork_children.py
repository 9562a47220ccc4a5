"""Children of a process that had a loop when it forked: a pool's worker, a sleeper, a server.

They are well, and it is they that are looked at.
"""

# wanted: nothing

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import time

import case

context = multiprocessing.get_context("fork")
reads, writes = os.pipe()  # the server says through it that it serves


def work():
    signal.alarm(case.ALARM)
    return os.getpid()


def sleeper():
    signal.alarm(case.ALARM)
    os.write(writes, b"x")
    time.sleep(case.ALARM)


async def serve():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    case.keep(server)
    os.write(writes, b"x")
    while True:
        await asyncio.sleep(0.1)


def own_loop():
    signal.alarm(case.ALARM)
    asyncio.run(serve())


async def main():
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
    pids = [await loop.run_in_executor(pool, work)]
    for function in [sleeper, own_loop]:
        process = context.Process(target=function, daemon=True)
        process.start()
        pids.append(process.pid)
        os.read(reads, 1)
    case.emit({"look_at": pids})
    case.ready_when(lambda: True)
    while True:
        await asyncio.sleep(0.1)


asyncio.run(main())
