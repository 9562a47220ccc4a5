"""With one job at a time the worker waits for its own permit before it looks for jobs to abort.

python-arq/arq#290: so the one that runs can never be aborted.
"""

# packages: arq==0.25.0
# needs: redis
# wanted: lock-convoy
# says: transcode
# within: 6

import asyncio
import os

import case
from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job
from arq.worker import Worker


async def transcode(context, number):
    await asyncio.sleep(1000)  # culprit


async def main():
    loop = asyncio.get_running_loop()
    settings = RedisSettings(port=int(os.environ["REDIS_PORT"]))
    queue = "queue-%d" % os.getpid()
    redis = await create_pool(settings, default_queue_name=queue)
    job = await redis.enqueue_job("transcode", 1)
    for number in range(2, 5):
        await redis.enqueue_job("transcode", number)
    worker = Worker(
        [transcode],
        redis_settings=settings,
        queue_name=queue,
        max_jobs=1,
        allow_abort_jobs=True,
        poll_delay=0.1,
        handle_signals=False,
    )
    working = asyncio.create_task(worker.async_run(), name="worker")
    await case.until(lambda: case.waiting(loop, "culprit") == 1)
    aborting = asyncio.create_task(
        Job(job.job_id, redis, _queue_name=queue).abort(), name="abort-request"
    )
    case.ready_when(lambda: case.runs(loop, "acquire") and case.waiting(loop, "culprit") == 1)
    await asyncio.gather(working, aborting)


asyncio.run(main())
