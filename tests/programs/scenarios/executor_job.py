"""A task waits for one call in a thread, which does not end."""

import asyncio
import socket

import stage


def lookup(server):
    with socket.create_connection(server) as connection:
        return connection.recv(100)  # culprit


def quick(server):
    socket.create_connection(server).close()


async def handler(server):
    loop = asyncio.get_running_loop()
    while stage.healthy:
        await loop.run_in_executor(None, quick, server)
    await loop.run_in_executor(None, lookup, server)  # waiting


async def main():
    server = stage.silent_server()
    if stage.healthy:
        answers = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1")
        server = answers.sockets[0].getsockname()
    task = asyncio.create_task(handler(server), name="handler")
    if stage.healthy:
        stage.when(lambda: True)
    else:
        # From the time that the loop may wait it can be told how long it has.
        asyncio.get_running_loop().call_later(3600, print)
        parked = stage.resting({task: "waiting"})
        stage.when(
            lambda: parked() and stage.threads_at("culprit") == 1,
            lambda: [stage.finding("executor-job-stuck", "warning", [task], "culprit")],
            waiting=lambda: [stage.waits(task, "executor")],
            held_for=stage.STUCK,
        )
    await task


stage.run(main())
