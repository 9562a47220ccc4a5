"""Functions of the program's own that are called like some of asyncio's."""

import asyncio


async def wait_for(event):
    timeout_handle = waiter = None
    while not event.is_set():
        await asyncio.sleep(3600, (timeout_handle, waiter))  # wait_for


async def wait(fs):
    await asyncio.sleep(3600, fs)  # wait
