"""Four handlers share a pool of two threads; twenty calls a second end all the while.

Each takes 100 ms, so that after two hundred all looks as it did: the same functions at the same
lines, in objects at the same addresses, two calls in the queue. With --kind slow each takes 700 ms.
"""

import asyncio
import concurrent.futures
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

ended = [0]
TAKES = 0.7 if stage.kind == "slow" else 0.1


async def handler(pool):
    while True:
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, TAKES)
        ended[0] += 1


async def main():
    pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="thumbs")
    stage.when(lambda: ended[0] > 2, also=["executor-job-stuck", "executor-saturated"])
    await asyncio.wait([asyncio.ensure_future(handler(pool)) for _ in range(4)])


stage.run(main())
