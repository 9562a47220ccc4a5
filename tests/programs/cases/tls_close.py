"""To close a TLS connection asyncio waits for the peer's goodbye, which TLS 1.3 does not ask for.

redis/redis-py#3941, aio-libs/aiohttp#11091, pgjones/hypercorn#202. From 3.11 on it waits for 30 s.
"""

# versions: 3.8-3.10
# loops: asyncio
# wanted: shutdown-stuck orphan-wait
# says: TLS
# within: 6

import asyncio
import socket
import threading

import case
from certificate import client_context, server_context


def serve(listener, context):
    kept = []
    while True:
        connection, _ = listener.accept()
        kept.append(context.wrap_socket(connection, server_side=True))
        kept[-1].send(b"+OK\n")


async def subscription(address):
    reader, writer = await asyncio.open_connection(*address, ssl=client_context())
    await reader.readline()
    writer.close()
    await writer.wait_closed()  # culprit


async def main():
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    peer = threading.Thread(
        target=serve, args=(listener, server_context()), name="peer", daemon=True
    )
    peer.start()
    tasks = [asyncio.create_task(subscription(address), name="pubsub-%d" % n) for n in range(2)]
    case.ready_when(
        lambda: case.waiting(loop, "culprit") == 2, says=lambda: [case.peer(address)]
    )
    await asyncio.gather(*tasks)


asyncio.run(main())
