"""A shop whose orders are jobs of arq: all wait for a lock, whose holder waits for a stock that is silent."""

# packages: arq==0.28.0
# packages-3.9: arq==0.25.0
# needs: redis
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: job order shop_arq.py OLDEST
# wait: 8s

import asyncio
import os

import shop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker


async def order(context, number):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


async def main():
    settings = RedisSettings(port=int(os.environ["REDIS_PORT"]))
    queue = "queue-%d" % os.getpid()
    redis = await create_pool(settings, default_queue_name=queue)
    for number in range(shop.REQUESTS):
        await redis.enqueue_job("order", number)
    worker = Worker(
        [order], redis_settings=settings, queue_name=queue, poll_delay=0.1, handle_signals=False
    )
    shop.ready()
    await worker.async_run()


asyncio.run(main())
