"""A sender waits until its peer has taken something, and the peer takes nothing."""

import asyncio

import stage

PART = b"x" * 100_000


async def send(address):
    _, writer = await asyncio.open_connection(*address)
    stage.keep(writer)
    while True:
        writer.write(PART)
        await writer.drain()  # waits


async def take(reader, writer):
    while await reader.read(20_000):
        await asyncio.sleep(0.01)


async def main():
    if stage.healthy:
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
    else:
        address = stage.silent_server()
    task = asyncio.create_task(send(address), name="send")
    if stage.healthy:
        stage.when(lambda: True, held_for=stage.STUCK)
    else:
        stage.when(
            stage.resting({task: "waits"}),
            lambda: [stage.finding("socket-stalled", "info", [task], "waits", "unsent")],
            held_for=stage.STUCK,
        )
    await task


stage.run(main())
