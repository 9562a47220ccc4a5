"""AnyIO's locks, limits, conditions and streams in everyday use: limits fire, clones are closed."""

# packages: anyio==4.9.0
# versions: 3.9-3.15
# wanted: nothing

import random
import time

import anyio
import anyio.to_thread
import case

told = [0]


async def locker(lock, semaphore):
    while True:
        with anyio.move_on_after(0.02):
            async with lock:
                await anyio.sleep(random.random() * 0.01)
        async with semaphore:
            await anyio.sleep(random.random() * 0.01)


async def producer(stream):
    async with stream:
        while True:
            await stream.send(1)
            await anyio.sleep(0.002)


async def consumer(stream):
    async with stream:
        async for _ in stream:
            await anyio.sleep(random.random() * 0.004)


async def waiter(condition):
    while True:
        async with condition:
            await condition.wait()


async def teller(condition):
    while True:
        async with condition:
            condition.notify_all()
        told[0] += 1
        await anyio.sleep(0.05)


async def offload():
    while True:
        await anyio.to_thread.run_sync(time.sleep, 0.005)


async def feed(stream):
    async with stream:
        for number in range(5):
            await stream.send(number)


async def pipe():
    while True:
        sends, receives = anyio.create_memory_object_stream(0)
        async with anyio.create_task_group() as group:
            group.start_soon(feed, sends)
            async with receives:
                async for _ in receives:
                    await anyio.sleep(0.001)


async def main():
    lock, semaphore, condition = anyio.Lock(), anyio.Semaphore(2), anyio.Condition()
    sends, receives = anyio.create_memory_object_stream(3)
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(locker, lock, semaphore)
        for _ in range(3):
            group.start_soon(waiter, condition)
        group.start_soon(teller, condition)
        for function in [offload, offload, pipe]:
            group.start_soon(function)
        for _ in range(2):
            group.start_soon(producer, sends.clone())
            group.start_soon(consumer, receives.clone())
        sends.close()
        receives.close()
        case.ready_when(lambda: told[0] > 10)


anyio.run(main)
