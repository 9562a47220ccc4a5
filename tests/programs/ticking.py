"""Sleeps again and again, and does nothing else: ticking.py [--uvloop] --kind SECONDS."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios"))

import stage


async def main():
    stage.when(stage.asleep)
    while True:
        await asyncio.sleep(float(stage.options.kind))


stage.run(main())
