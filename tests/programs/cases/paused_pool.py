"""A connection goes back to the pool with its reading paused; what is asked next is never heard.

aio-libs/aiohttp#10169: the download came in whole while its reader was behind.
"""

# packages: aiohttp==3.11.10
# versions: 3.9 3.11 3.13
# wanted: socket-stalled
# within: 6

import asyncio

import aiohttp
import case

answered = [0]
uploaded = [0]


async def serve(reader, writer):
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            answered[0] += 1


async def upload(session, url):
    async with session.put(url, data=b"") as response:  # culprit
        await response.text()
    uploaded[0] += 1


async def copy(session, url):
    async with session.get(url) as response:
        await asyncio.sleep(0.3)
        async for _ in response.content.iter_chunked(1024):
            await upload(session, url)


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        case.ready_when(
            lambda: answered[0] == uploaded[0] + 1 and case.waiting(loop, "culprit") == 1,
            held_for=0.5,
        )
        await copy(session, url)


asyncio.run(main())
