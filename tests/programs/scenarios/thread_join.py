"""The loop's thread joins a thread that waits for the loop."""

import asyncio
import threading

import stage


async def query():
    return 42


def work(loop):
    asyncio.run_coroutine_threadsafe(query(), loop).result()


async def handler():
    await asyncio.sleep(0)
    thread = threading.Thread(target=work, args=(asyncio.get_running_loop(),), name="work")
    thread.start()
    thread.join()  # culprit


async def main():
    task = asyncio.create_task(handler(), name="handler")
    stage.when(
        lambda: stage.stuck("culprit"),
        lambda: [stage.finding("loop-self-deadlock", "critical", [task], "culprit")],
        also=["loop-blocked"],
        held_for=1.1,
    )
    await task


stage.run(main())
