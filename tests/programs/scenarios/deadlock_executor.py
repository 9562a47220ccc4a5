"""A task holds a lock and waits for a thread, which waits for a task that wants the lock."""

import asyncio

import stage


async def load(lock):
    children.append(asyncio.current_task())
    children[0].set_name("load")
    async with lock:  # wants
        return 1


def job(loop, lock):
    return asyncio.run_coroutine_threadsafe(load(lock), loop).result()  # in the thread


async def refresh(lock):
    loop = asyncio.get_running_loop()
    async with lock:
        await loop.run_in_executor(None, job, loop, lock)  # waits


async def main():
    task = asyncio.create_task(refresh(asyncio.Lock()), name="refresh")
    stage.when(
        lambda: children
        and stage.resting({task: "waits", children[0]: "wants"})()
        and stage.threads_at("in the thread") == 1,
        lambda: [
            stage.finding("deadlock", "critical", [task] + children, ["waits", "wants"], "lock")
        ],
        also=["executor-job-stuck"],
    )
    await task


children = []
stage.run(main())
