"""A client goes away while a middleware runs in a thread; the loop joins it, and it needs the loop.

django/asgiref#535.
"""

# packages: asgiref==3.8.1
# versions: 3.9-3.15
# wanted: loop-self-deadlock
# says: middleware
# within: 2

import asyncio
import threading
import time

import case
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

begun = threading.Event()


async def view():
    return "page"


def middleware():
    begun.set()
    thread = threading.get_ident()
    while not case.within("shutdown"):  # the loop leaves the context
        time.sleep(0.01)
    case.ready_when(lambda: case.stands_at("culprit", thread))
    return async_to_sync(view)()  # culprit


async def request():
    async with ThreadSensitiveContext():
        await sync_to_async(middleware, thread_sensitive=True)()


async def health():
    while True:
        await asyncio.sleep(0.1)


async def main():
    case.keep(asyncio.ensure_future(health()))
    task = asyncio.ensure_future(request())
    await case.until(begun.is_set)
    task.cancel()
    await asyncio.wait([task])


asyncio.run(main())
