"""Files on a share that is gone take the threads of the pool one by one, cancelled or not.

A FIFO that nobody writes stands for the share. aiofiles, and every other open() in a thread.
"""

# packages: aiofiles==24.1.0
# wanted: executor-job-stuck
# says: open
# within: 6

import asyncio
import os
import tempfile
import threading

import aiofiles
import case

OPEN = {"257", "56"}  # openat of x86_64 and of aarch64


async def download(path):
    async with aiofiles.open(path) as file:  # culprit
        return await file.read()


def opening():
    """How many threads are in open()."""
    return sum(case.syscall(thread.native_id) in OPEN for thread in threading.enumerate())


async def main():
    loop = asyncio.get_running_loop()
    path = os.path.join(tempfile.mkdtemp(), "share")
    os.mkfifo(path)
    tasks = [asyncio.create_task(download(path), name="download-%d" % n) for n in range(3)]
    await case.until(lambda: case.waiting(loop, "culprit") == opening() == 3)
    tasks.pop().cancel()
    case.ready_when(lambda: case.waiting(loop, "culprit") == 2, says=lambda: [path])
    await asyncio.gather(*tasks)


asyncio.run(main())
