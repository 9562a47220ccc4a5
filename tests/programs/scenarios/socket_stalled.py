"""Bytes have come, and nobody reads them: reading was paused and is never resumed."""

import asyncio

import stage

stage.options.uvloop = stage.kind == "uvloop"


async def take(address):
    reader, writer = await asyncio.open_connection(*address)
    stage.keep(writer)
    while True:
        writer.transport.pause_reading()
        writer.write(b"a question\n")
        await asyncio.sleep(0.2)  # others have their turn
        if stage.healthy:
            writer.transport.resume_reading()
        await reader.readline()  # waits


async def give(reader, writer):
    while await reader.readline():
        writer.write(b"an answer\n")


async def main():
    server = await asyncio.start_server(give, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    tasks = [asyncio.create_task(take(address), name="take-%d" % n) for n in range(2)]
    if stage.healthy:
        stage.when(lambda: True, held_for=stage.STUCK)
    else:
        stage.when(
            stage.resting({task: "waits" for task in tasks}),
            lambda: [
                stage.finding(
                    "socket-stalled",
                    "warning",
                    tasks,
                    "waits",
                    "unread",
                    ["20 bytes from %s:%d" % address],
                )
            ],
            held_for=stage.STUCK,
        )
    await asyncio.wait(tasks)


stage.run(main())
