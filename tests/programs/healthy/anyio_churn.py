"""Locks, semaphores, conditions and streams of anyio's that many take in turn and some give up on."""

import asyncio
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import anyio

import stage

done = [0]


def pause():
    return asyncio.sleep(random.choice([0, 0, random.random() / 1000]))


async def again_and_again(use, *things):
    while True:
        # Some don't wait for long.
        with anyio.move_on_after(random.choice([None, random.random() / 200]) or float("inf")):
            await use(*things)
            done[0] += 1
        await pause()


async def hold(lock):
    async with lock:
        await pause()


async def wait(condition):
    async with condition:
        await condition.wait()


async def notify(condition):
    async with condition:
        condition.notify(2)
    await pause()


async def send(stream):
    await stream.send("an item")


async def receive(stream):
    await stream.receive()
    await pause()


async def main():
    lock, semaphore, condition = anyio.Lock(), anyio.Semaphore(2), anyio.Condition()
    streams = [anyio.create_memory_object_stream(size) for size in (0, 3)]
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(again_and_again, hold, lock)
            group.start_soon(again_and_again, hold, semaphore)
        for _ in range(3):
            group.start_soon(again_and_again, wait, condition)
            for sending, receiving in streams:
                group.start_soon(again_and_again, send, sending)
                group.start_soon(again_and_again, receive, receiving)
        group.start_soon(again_and_again, notify, condition)
        # Whom both samples see cancelled may have been cancelled anew.
        notes = ["lock-convoy", "queue-stalled", "cancel-undelivered"]
        stage.when(lambda: done[0] > 300, also=notes)
        await asyncio.sleep(stage.FOREVER)


stage.run(main())
