"""A pool's only thread waits for a job that it would have to run itself."""

import asyncio
import concurrent.futures

import stage

pool = concurrent.futures.ThreadPoolExecutor(1)


def resize(image):
    return image


def convert(image):
    return pool.submit(resize, image).result()  # culprit


async def handler():
    await asyncio.get_running_loop().run_in_executor(pool, convert, b"an image")  # waits


async def main():
    task = asyncio.create_task(handler(), name="handler")
    parked = stage.resting({task: "waits"})
    stage.when(
        lambda: parked() and stage.threads_at("culprit") == 1,
        lambda: [stage.finding("executor-saturated", "critical", [task], "culprit")],
        also=["deadlock", "executor-job-stuck"],
    )
    await task


stage.run(main())
