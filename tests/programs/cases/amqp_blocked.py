"""A broker that is short of memory confirms no message; the publisher waits, holding a lock.

mosquito/aio-pika#46 and #556, ag2ai/faststream#1579.
"""

# packages: aio-pika==9.4.0
# versions: 3.9-3.15
# wanted: lock-convoy
# says: emit-0

import asyncio
import os
import subprocess
import sys

import aio_pika
import case

BROKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "amqp.py")


async def emit(lock, channel):
    message = aio_pika.Message(b"order")
    async with lock:  # waits
        await channel.default_exchange.publish(message, routing_key="orders")  # culprit


async def main():
    loop = asyncio.get_running_loop()
    broker = subprocess.Popen([sys.executable, BROKER], stdout=subprocess.PIPE)
    port = int(broker.stdout.readline())
    url = "amqp://guest:guest@127.0.0.1:%d/?heartbeat=0" % port
    connection = await aio_pika.connect_robust(url)
    channel = await connection.channel()
    lock = asyncio.Lock()
    tasks = [asyncio.create_task(emit(lock, channel), name="emit-%d" % n) for n in range(5)]
    case.ready_when(
        lambda: case.waiting(loop, "culprit") == 1 and case.waiting(loop, "waits") == 4
    )
    await asyncio.gather(*tasks)


asyncio.run(main())
