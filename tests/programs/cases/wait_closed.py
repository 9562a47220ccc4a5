"""A server that is closed waits for all its connections, and one client is idle.

python/cpython#104344 and #113538: so from 3.12.1 on.
"""

# versions: 3.12-3.15
# loops: asyncio
# wanted: shutdown-stuck
# within: 6

import asyncio

import case


async def handle(reader, writer):
    while await reader.readline():  # culprit
        writer.write(b"ok\n")
        await writer.drain()
    writer.close()


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    clients = [await asyncio.open_connection(*address) for _ in range(3)]
    for reader, writer in clients:
        writer.write(b"hello\n")
        await reader.readline()
    for _, writer in clients[1:]:
        writer.close()
    await case.until(lambda: case.waiting(loop, "culprit") == 1)
    server.close()
    case.ready_when(lambda: case.waiting(loop, "waits") == case.waiting(loop, "culprit") == 1)
    await server.wait_closed()  # waits


asyncio.run(main())
