"""Five thousand tasks that sleep for long."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


async def main():
    tasks = [asyncio.create_task(asyncio.sleep(stage.FOREVER)) for _ in range(5000)]
    stage.when(lambda: all(task._fut_waiter for task in tasks) and stage.asleep())
    await asyncio.wait(tasks)


stage.run(main())
