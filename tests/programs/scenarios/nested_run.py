"""An event loop that runs inside a task of another one, as nest_asyncio and the like do."""

import asyncio

import stage


def run_here(coro):
    """Runs a coroutine to its end, even inside of a running loop."""
    outer = asyncio._get_running_loop()
    task = asyncio.current_task()
    asyncio.tasks._leave_task(outer, task)
    asyncio._set_running_loop(None)
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coro)  # culprit
    finally:
        loop.close()
        asyncio._set_running_loop(outer)
        asyncio.tasks._enter_task(outer, task)


async def inner():
    inside.append(asyncio.current_task())
    await asyncio.sleep(stage.FOREVER)  # inner


async def handler():
    await asyncio.sleep(0)
    run_here(inner())


async def main():
    task = asyncio.create_task(handler(), name="handler")
    stage.when(
        lambda: inside and stage.resting({inside[0]: "inner"})(),
        lambda: [stage.finding("nested-run", "warning", at="culprit")],
        also=["loop-blocked"],
        held_for=1.1,
    )
    await task


inside = []
stage.run(main())
