"""A worker that has nothing to do but to wait for SIGTERM: no socket, no timer, no other thread."""

# wanted: nothing

import asyncio
import signal

import case


async def work(queue):
    while True:
        await queue.get()  # waits


async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    queue = asyncio.Queue()
    tasks = [asyncio.ensure_future(work(queue)) for _ in range(3)]
    case.ready_when(lambda: case.waiting(loop, "waits") == 3)
    await stop.wait()
    for task in tasks:
        task.cancel()


asyncio.run(main())
