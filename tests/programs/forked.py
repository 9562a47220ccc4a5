"""Forks children out of a running loop, and tells their process ids.

`idle`       a worker of a process pool that waits for work
`asleep`     a child of `os.fork` that blocks, with what its parent left behind
`threaded`   the same, forked by another thread than the loop's
`own`        a child of `multiprocessing` with a loop of its own, which waits
`holding`    the same with a loop that is blocked from its first step on
`continued`  a child that goes on with its parent's loop, and blocks it in a later iteration

Each child but the idle one ends with the parent: it reads from a pipe that the parent alone can
write to.
"""

import argparse
import asyncio
import concurrent.futures
import multiprocessing
import os
import signal

import common

CONTEXT = multiprocessing.get_context("fork")
ALIVE, OURS = os.pipe()
HERE, READY = os.pipe()
children = {}


def wait_for_the_end():
    os.close(OURS)
    os.write(READY, b".")
    os.read(ALIVE, 1)
    os._exit(0)


async def wait_in_a_loop():
    os.close(OURS)
    asyncio.get_running_loop().add_reader(ALIVE, os._exit, 0)
    os.write(READY, b".")
    await asyncio.sleep(common.FOREVER)


async def hold():
    wait_for_the_end()


def own():
    asyncio.run(wait_in_a_loop())


def holding():
    asyncio.run(hold())


def job():
    signal.alarm(60)  # it has no way to see its parent end
    os.close(OURS)
    os.write(READY, b".")
    return os.getpid()


async def worker(lock):
    async with lock:
        await asyncio.sleep(common.FOREVER)


async def failing():
    raise ValueError("left behind")


def fork(name):
    pid = os.fork()
    if pid:
        children[name] = pid
    return pid


async def asleep():
    unstarted = worker(None)  # not the child's
    if not fork("asleep"):
        wait_for_the_end()
    unstarted.close()


def threaded():
    if not fork("threaded"):
        wait_for_the_end()


async def continued():
    loop = asyncio.get_running_loop()
    if not fork("continued"):
        loop.set_exception_handler(lambda *_: None)
        # From 3.14 on no task takes a step there.
        loop.call_later(0.1, wait_for_the_end)
        await loop.create_future()


async def main():
    loop = asyncio.get_running_loop()
    lock = asyncio.Lock()
    tasks = [loop.create_task(worker(lock)) for _ in range(3)]
    failed = loop.create_task(failing())
    await asyncio.sleep(0.05)
    await loop.run_in_executor(None, threaded)
    await asleep()
    pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=CONTEXT)
    children["idle"] = await loop.run_in_executor(pool, job)
    for run in own, holding:
        process = CONTEXT.Process(target=run, daemon=True)
        process.start()
        children[run.__name__] = process.pid
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert isinstance(failed.exception(), ValueError)
    await continued()
    # The child has the same self-pipe: no thread may wake the loop by it now.
    for _ in children:
        os.read(HERE, 1)
    common.emit_ready({"children": children, "since": common.monotonic()})
    await asyncio.sleep(common.FOREVER)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", default="asyncio")
    common.watchdog()
    common.run(parser.parse_args().loop, main())
