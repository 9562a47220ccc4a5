"""The event loop has ended, and a thread that is no daemon keeps the interpreter."""

import asyncio
import socket
import threading

import stage


def poll(connection):
    connection.recv(100)  # culprit


async def main():
    connection = socket.create_connection(stage.silent_server())
    threading.Thread(target=poll, args=(connection,), name="poller").start()
    stage.when(
        lambda: stage.within("_shutdown"),
        lambda: [
            stage.finding("shutdown-stuck", "warning", at="culprit", kind="interpreter-threads")
        ],
        held_for=stage.STUCK,
    )


asyncio.run(main())
