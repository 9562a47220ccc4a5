"""A pool's workers are forked while a thread holds a lock: in them it is held forever.

awslabs/graphrag-toolkit#419, python/cpython#81610.
"""

# wanted: executor-saturated executor-job-stuck
# within: 6

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import threading

import case

FUTEX = {"202", "98"}  # of x86_64 and of aarch64
reads, writes = os.pipe()  # the workers say through it who they are
registry = threading.Lock()
held = threading.Event()
forked = threading.Event()
pids = []


def flush_metrics():
    with registry:
        held.set()
        forked.wait()


def render(number):
    signal.alarm(case.ALARM)
    os.write(writes, b"%d\n" % os.getpid())
    with registry:  # culprit
        return number * number


async def answer(pool, number):
    await asyncio.get_running_loop().run_in_executor(pool, render, number)


def all_wait():
    while len(pids) < 2:
        pids.extend(os.read(reads, 100).decode().split())
    calls = [open("/proc/%s/syscall" % pid).read().split()[0] for pid in pids]
    return set(calls) <= FUTEX


async def main():
    threading.Thread(target=flush_metrics, name="metrics", daemon=True).start()
    held.wait()
    context = multiprocessing.get_context("fork")
    pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=context)
    tasks = [asyncio.create_task(answer(pool, n), name="render-%d" % n) for n in range(4)]
    await case.until(lambda: len(pool._processes) == 2)
    forked.set()
    case.ready_when(all_wait, says=lambda: pids)
    await asyncio.gather(*tasks)


asyncio.run(main())
