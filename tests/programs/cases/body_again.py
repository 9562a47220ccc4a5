"""A middleware has read the body; the endpoint asks for it again, and keeps the server from ending.

encode/starlette#495 and #847.
"""

# packages: starlette==0.27.0 uvicorn
# versions: 3.9 3.11 3.13
# wanted: shutdown-stuck
# says: orders
# within: 6

import asyncio
import os
import signal
import subprocess
import sys

import case
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

CLIENTS = """
import socket, sys
connections = []
for _ in range(3):
    connections.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    head = b"POST /orders HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 8\\r\\n\\r\\n"
    connections[-1].sendall(head + b'{"a": 1}')
connections[0].recv(1)
"""


class Audit(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        await request.body()
        return await call_next(request)


async def orders(request):
    return JSONResponse(await request.json())  # culprit


async def main():
    loop = asyncio.get_running_loop()
    app = Starlette(
        routes=[Route("/orders", orders, methods=["POST"])], middleware=[Middleware(Audit)]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    serving = asyncio.ensure_future(server.serve())
    await case.until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    case.keep(subprocess.Popen([sys.executable, "-c", CLIENTS, str(port)]))
    await case.until(lambda: case.waiting(loop, "culprit") == 3)
    os.kill(os.getpid(), signal.SIGTERM)
    case.ready_when(lambda: case.runs(loop, "shutdown"), held_for=1.0)
    await serving


asyncio.run(main())
