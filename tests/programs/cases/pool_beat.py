"""Four handlers share a pool of two threads, in step: after each call all looks as it did before.

The same functions at the same lines, in objects at the same addresses, two calls in the queue.
"""

# wanted: nothing

import asyncio
import concurrent.futures
import time

import case

ended = [0]


async def handler(pool):
    while True:
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.1)
        ended[0] += 1


async def main():
    pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="thumbs")
    case.ready_when(lambda: ended[0] > 2)
    await asyncio.gather(*[handler(pool) for _ in range(4)])


asyncio.run(main())
