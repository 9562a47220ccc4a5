"""run_coroutine_threadsafe(...).result() on the thread of the very loop that is to run it."""

import asyncio

import stage


async def query():
    return 42


def run_sync(loop):
    future = asyncio.run_coroutine_threadsafe(query(), loop)
    return future.result()  # culprit


async def handler():
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    if stage.healthy:
        while True:  # from a thread of its own that is right
            await loop.run_in_executor(None, run_sync, loop)
    return run_sync(loop)


async def main():
    task = asyncio.create_task(handler(), name="handler")
    if stage.healthy:
        stage.when(lambda: True)
    else:
        stage.when(
            lambda: stage.stuck("culprit"),
            lambda: [stage.finding("loop-self-deadlock", "critical", [task], "culprit")],
            also=["loop-blocked"],
            held_for=1.1,
        )
    await task


stage.run(main())
