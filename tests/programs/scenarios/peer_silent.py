"""Tasks have asked a server and wait for its answer, which does not come the second time."""

import asyncio
import socket
import threading

import stage

QUESTION = b"a question\n"
ANSWER = b"an answer\n"
TASKS = 3
asked = [0]


async def ask(server):
    reader, writer = await asyncio.open_connection(*server)
    while True:
        asked[0] += 1
        writer.write(QUESTION)
        await writer.drain()
        await reader.readline()  # waits
        if stage.healthy:
            await asyncio.sleep(0.1)


async def answer(reader, writer):
    while await reader.readline():
        writer.write(ANSWER)


def answer_once(listener):
    while True:
        connection, _ = listener.accept()
        connection.recv(len(QUESTION), socket.MSG_WAITALL)
        connection.sendall(ANSWER)
        stage.keep(connection)


async def main():
    if stage.healthy:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=answer_once, args=(listener,), daemon=True).start()
        address = listener.getsockname()
    tasks = [asyncio.create_task(ask(address), name="ask-%d" % n) for n in range(TASKS)]
    resting = stage.resting({task: "waits" for task in tasks})
    if stage.healthy:
        stage.when(lambda: True, held_for=stage.STUCK)
    else:
        stage.when(
            lambda: asked[0] == 2 * TASKS and resting(),
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
