"""Callbacks that hold the loop for some milliseconds, well below what is too long."""

import asyncio
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

calls = [0]


async def log():
    while True:
        time.sleep(0.015)
        calls[0] += 1
        await asyncio.sleep(0.005)


async def main():
    tasks = [asyncio.create_task(log()) for _ in range(2)]
    stage.when(lambda: calls[0] > 10)
    await asyncio.wait(tasks)


stage.run(main())
