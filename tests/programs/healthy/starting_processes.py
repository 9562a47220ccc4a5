"""Pools whose processes take their time to begin, with calls that wait for them."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage
from children import end_with


def prepare(parent):
    end_with(parent)
    time.sleep(600)


async def handler(pool):
    await asyncio.get_running_loop().run_in_executor(pool, os.getpid)  # waits


def sleeping(pid):
    try:
        with open("/proc/%d/wchan" % pid) as file:
            at = file.read()
            return "nanosleep" in at or "poll" in at  # up to 3.10 it is a select
    except OSError:
        return False


async def main():
    context = multiprocessing.get_context("fork")
    options = {"mp_context": context, "initializer": prepare, "initargs": (os.getpid(),)}
    pool = concurrent.futures.ProcessPoolExecutor(2, **options)
    tasks = {asyncio.create_task(handler(pool)): "waits" for _ in range(4)}
    resting = stage.resting(tasks)

    def is_starting():
        pids = list(pool._processes or ())
        return len(pids) == 2 and all(sleeping(pid) for pid in pids)

    stage.when(
        lambda: resting() and is_starting(), also=["executor-saturated", "executor-job-stuck"]
    )
    await asyncio.wait(tasks)


stage.run(main())
