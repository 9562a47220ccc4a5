"""A task fails its group while another one is started eagerly, which is then never cancelled.

python/cpython#128550.
"""

# versions: 3.12 3.13
# wanted: standstill cleanup-stuck orphan-wait
# says: second

import asyncio

import case


async def third():
    raise RuntimeError("third")


async def second(group):
    group.create_task(third())
    await asyncio.Event().wait()  # culprit


async def main():
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        group.create_task(second(group), name="second")
        case.ready_when(lambda: case.waiting(loop, "culprit") == 1 and group._aborting)


def eagerly(loop, coroutine, **options):
    """asyncio.eager_task_factory, which doesn't know yet what uvloop passes to it."""
    options["eager_start"] = True
    return asyncio.Task(coroutine, loop=loop, **options)


with asyncio.Runner() as runner:
    runner.get_loop().set_task_factory(eagerly)
    runner.run(asyncio.wait_for(main(), case.FOREVER))
