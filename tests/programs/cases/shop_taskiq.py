"""A shop whose orders are jobs of taskiq: all wait for a lock, whose holder waits for a stock that is silent."""

# packages: taskiq==0.13.0
# packages-3.9: taskiq==0.11.7
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: job order shop_taskiq.py OLDEST
# wait: 8s

import asyncio

import shop
from taskiq import InMemoryBroker


async def order(number):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


async def main():
    broker = InMemoryBroker()
    kicked = broker.register_task(order, task_name="order")
    await broker.startup()
    for number in range(shop.REQUESTS):
        await kicked.kiq(number)
    shop.ready()
    await asyncio.Event().wait()


asyncio.run(main())
