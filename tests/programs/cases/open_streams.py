"""Answers that were opened as streams, looked at and never closed keep all connections of a pool.

openai/openai-python#763, and whoever uses httpx so.
"""

# packages: httpx==0.28.1
# versions: 3.9-3.15
# wanted: pool-exhausted
# within: 6

import asyncio

import case
import httpx


async def serve(reader, writer):
    while await reader.readuntil(b"\r\n\r\n"):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"6\r\ndata: \r\n" * 3)
        await writer.drain()


class Hooks:
    def __init__(self, client, url):
        self.client = client
        self.url = url

    async def notify(self):
        request = self.client.build_request("POST", self.url)
        response = await self.client.send(request, stream=True)  # culprit
        return response.status_code == 200


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
    limits = httpx.Limits(max_connections=3)
    async with httpx.AsyncClient(timeout=None, trust_env=False, limits=limits) as client:
        hooks = Hooks(client, url)
        for _ in range(3):
            await hooks.notify()
        tasks = [asyncio.ensure_future(hooks.notify()) for _ in range(5)]
        case.ready_when(lambda: case.waiting(loop, "culprit") == 5)
        await asyncio.wait(tasks)


asyncio.run(main())
