"""What is looked at in an emulated machine: program.py KIND LOOP.

convoy: a task holds a lock while it sleeps, and six wait.  blocked: a callback sleeps.  idle: a
server that waits for connections.  Ends by itself.
"""

import asyncio
import os
import sys
import threading
import time


async def holder(lock):
    async with lock:
        await asyncio.sleep(300)


async def waiter(lock):
    async with lock:
        pass


def block():
    ready()
    time.sleep(300)


def ready():
    print("READY", os.getpid(), threading.get_native_id(), flush=True)


async def main():
    kind = sys.argv[1]
    if kind == "convoy":
        lock = asyncio.Lock()
        tasks = [asyncio.create_task(holder(lock), name="holder")]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(waiter(lock), name="waiter-%d" % n) for n in range(6)]
        # All wait, and the loop polls: then its time is as it will be.
        asyncio.get_running_loop().call_later(0.1, ready)
        await asyncio.gather(*tasks)
    elif kind == "blocked":
        asyncio.get_running_loop().call_later(0.1, block)
        await asyncio.sleep(300)
    else:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        asyncio.get_running_loop().call_later(0.1, ready)
        await server.serve_forever()


threading.Timer(200, os._exit, [0]).start()
if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
