"""A request takes its answer from a queue and never says that it is done with it: drain() waits.

nats-io/nats.py#171, in asyncio-nats-client.
"""

# packages: asyncio-nats-client==0.11.0 --no-binary=asyncio-nats-client
# versions: 3.8-3.9
# wanted: queue-stalled
# says: pending_queue

import asyncio
import os
import subprocess
import sys

import case
from nats.aio.client import Client

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "nats.py")


async def main():
    loop = asyncio.get_running_loop()
    server = subprocess.Popen([sys.executable, SERVER], stdout=subprocess.PIPE)
    port = int(server.stdout.readline())
    client = Client()
    await client.connect("nats://127.0.0.1:%d" % port, drain_timeout=600)
    for _ in range(2):
        await client.request("rates", b"?", timeout=2)
    case.ready_when(lambda: case.waiting(loop, "culprit") == 1 and case.runs(loop, "join"))
    await client.drain()  # culprit


asyncio.run(main())
