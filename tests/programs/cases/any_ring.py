"""Two tasks take two locks of AnyIO's in opposite order: httpcore and starlette have these."""

# packages: anyio==4.9.0
# versions: 3.9-3.15
# wanted: deadlock
# says: a-to-b b-to-a

import asyncio

import anyio
import case


class Account:
    def __init__(self):
        self.lock = anyio.Lock()


async def transfer(source, target):
    async with source.lock:
        await anyio.sleep(0.1)
        async with target.lock:  # culprit
            pass


async def main():
    loop = asyncio.get_running_loop()
    a, b = Account(), Account()
    case.ready_when(lambda: case.waiting(loop, "culprit") == 2)
    async with anyio.create_task_group() as group:
        group.start_soon(transfer, a, b, name="a-to-b")
        group.start_soon(transfer, b, a, name="b-to-a")


anyio.run(main)
