"""A lock of AnyIO's is free, but nobody wakes those who wait for it, and more and more do.

agronholm/anyio#1145, in a service's session that has to be retired. Fixed in AnyIO 4.14.
"""

# packages: anyio==4.13.0
# versions: 3.11-3.15
# wanted: permit-leaked wakeup-lost standstill
# says: pending_lock

import asyncio

import anyio
import case


class Session:
    def __init__(self):
        self.pending_lock = anyio.Lock()

    async def retire(self):
        async with self.pending_lock:  # culprit
            await anyio.sleep(0)


def ask(session, number):
    return asyncio.create_task(session.retire(), name="retire-%d" % number)


async def main():
    loop = asyncio.get_running_loop()
    session = Session()
    await session.pending_lock.acquire()
    gone = ask(session, 0)
    await case.until(lambda: case.waiting(loop, "culprit") == 1)
    # All in one iteration: a newcomer, a client that hangs up, and the owner that is done.
    tasks = [ask(session, 1)]
    gone.cancel()
    session.pending_lock.release()
    await case.until(gone.done)
    tasks += [ask(session, number) for number in range(2, 7)]
    case.ready_when(lambda: case.waiting(loop, "culprit") == 6)
    await asyncio.wait(tasks)


asyncio.run(main())
