"""A pool's only worker retires after two calls, and no other is started.

python/cpython#115634.
"""

# versions: 3.11-3.13
# wanted: executor-saturated executor-job-stuck
# within: 6

import asyncio
import concurrent.futures
import signal

import case


def convert(number):
    return number


async def answer(pool, number):
    await asyncio.get_running_loop().run_in_executor(pool, convert, number)  # culprit


async def main():
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ProcessPoolExecutor(
        1, max_tasks_per_child=2, initializer=signal.alarm, initargs=(case.ALARM,)
    )
    tasks = [asyncio.create_task(answer(pool, n), name="convert-%d" % n) for n in range(8)]
    case.ready_when(
        lambda: not pool._processes and case.waiting(loop, "culprit") > 0, held_for=0.5
    )
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
