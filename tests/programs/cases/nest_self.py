"""In a nested run a task waits for another, whose own run lies further down the stack.

erdewit/nest_asyncio#66.
"""

# packages: nest_asyncio==1.6.0
# versions: 3.9-3.14
# loops: asyncio
# wanted: loop-self-deadlock

import asyncio

import case
import nest_asyncio

loaded = []


async def load():
    await asyncio.sleep(0.1)
    loaded.append(True)


async def nested(work):
    asyncio.run(work)  # culprit
    return "finished"


async def main():
    task = asyncio.create_task(nested(load()))
    case.ready_when(lambda: loaded and case.asleep(), held_for=0.5)
    asyncio.run(nested(task))


nest_asyncio.apply()
asyncio.run(main())
