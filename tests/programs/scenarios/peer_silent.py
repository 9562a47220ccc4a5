"""Tasks have asked a server and wait for its answer, which does not come."""

import asyncio

import stage


async def ask(server):
    reader, writer = await asyncio.open_connection(*server)
    while True:
        writer.write(b"a question\n")
        await writer.drain()
        await reader.readline()  # waits
        await asyncio.sleep(0.1)


async def answer(reader, writer):
    while await reader.readline():
        writer.write(b"an answer\n")


async def main():
    if stage.healthy:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
    else:
        address = stage.silent_server()
    tasks = [asyncio.create_task(ask(address), name="ask-%d" % n) for n in range(3)]
    if stage.healthy:
        stage.when(lambda: True, held_for=stage.STUCK)
    else:
        stage.when(
            stage.resting({task: "waits" for task in tasks}),
            lambda: [
                stage.finding(
                    "peer-silent",
                    "warning",
                    tasks,
                    "waits",
                    "acknowledged",
                    ["%s:%d has been silent for" % address, "3 tasks wait for its answer"],
                )
            ],
            waiting=lambda: [stage.waits(task, "socket") for task in tasks],
            held_for=stage.STUCK,
        )
    await asyncio.wait(tasks)


stage.run(main())
