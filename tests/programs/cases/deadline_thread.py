"""A time limit around a call in a thread cannot end it: the thread waits for a silent server.

agronholm/anyio#601.
"""

# packages: anyio==4.9.0
# versions: 3.9-3.15
# wanted: timeout-overdue executor-job-stuck
# within: 6

import socket

import anyio
import anyio.to_thread
import case


def query(address):
    with socket.create_connection(address) as connection:
        return connection.recv(100)  # culprit


async def report(address):
    with anyio.move_on_after(1):
        return await anyio.to_thread.run_sync(query, address)


async def main():
    address = case.silent_server()
    case.ready_when(
        lambda: case.threads_at("culprit") == 3, says=lambda: [case.peer(address)], held_for=3.0
    )
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(report, address, name="report-%d" % number)


anyio.run(main)
