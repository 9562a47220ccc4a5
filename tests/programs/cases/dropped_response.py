"""A middleware answers by itself and drops the answer it got: each request leaves a task behind.

encode/starlette#1022. No line of the program is in such a task, which puts into a queue there.
"""

# packages: starlette==0.13.7 uvicorn
# versions: 3.9 3.11
# wanted: task-leak queue-stalled
# says: call_next
# within: 6

import asyncio

import case
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

answered = [0]


class Mask(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        if response.status_code == 200:
            return PlainTextResponse("masked")
        return response


async def home(request):
    return PlainTextResponse("hello")


async def visit(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"masked")
        answered[0] += 1
        await asyncio.sleep(0.02)


async def main():
    app = Starlette(routes=[Route("/", home)], middleware=[Middleware(Mask)])
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    case.keep(asyncio.ensure_future(server.serve()))
    await case.until(lambda: server.started)
    case.ready_when(lambda: answered[0] >= 40)
    await visit(server.servers[0].sockets[0].getsockname()[1])


asyncio.run(main())
