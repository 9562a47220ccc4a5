"""Tasks that work in greenlets, a little at a time, as a busy service on SQLAlchemy's asyncio does."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

import bridge

done = [0]


def transaction():
    for part in range(3):
        sum(range(2000))
        bridge.await_(asyncio.sleep(0.001 * part))
    done[0] += 1


async def serve():
    while True:
        await bridge.spawn(transaction)


async def main():
    stage.when(lambda: done[0] > 20)
    await asyncio.gather(*[serve() for _ in range(5)])


stage.run(main())
