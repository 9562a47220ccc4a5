"""A task that iterates an asynchronous generator, and never waits.

    iterating.py [--loop asyncio|uvloop]

Prints {} and READY. The generator is in use for good: whoever sees it alone has not seen the task.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio

import common

parser = argparse.ArgumentParser()
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()


async def rows():
    while True:
        yield 1


async def read():
    number = 0
    async for row in rows():
        await asyncio.sleep(0)
        number += row
        if number == 100:
            common.emit_ready({})


async def main():
    await read()


common.watchdog()
common.run(options.loop, main())
