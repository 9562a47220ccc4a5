"""A uvicorn server that is stopped and started again and again, each time with requests in flight.

They end within a second: one sleeps, one waits for another task, and one streams to its end.
"""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import uvicorn

import stage

stops = [0]


async def compute():
    await asyncio.sleep(0.7)


async def app(scope, receive, send):
    under_way.append(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/sleep":
        await asyncio.sleep(1)
    elif scope["path"] == "/task":
        await asyncio.ensure_future(compute())
    else:
        for _ in range(8):
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"."})


async def client(address, path):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
    await reader.read()
    writer.close()


async def main():
    del under_way[:]
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="off", log_level="critical")
    )
    # Its own handlers of signals would end the program.
    server.install_signal_handlers = lambda: None
    serving = asyncio.ensure_future(getattr(server, "_serve", server.serve)())
    while not server.started:
        await asyncio.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    clients = [asyncio.ensure_future(client(address, path)) for path in (b"sleep", b"task", b"stream")]
    while len(under_way) < 3:
        await asyncio.sleep(0.01)
    server.should_exit = True
    stops[0] += 1
    await serving
    await asyncio.wait(clients)


under_way = []
# A stop that ends by itself is under way at some looks.
stage.when(lambda: stops[0] > 0, also=["cleanup-stuck", "shutdown-stuck"])
while True:
    stage.run(main())
