"""A connection of TLS is closed, and the other end never says that it closes it too.

The healthy twin's other end answers.
"""

import asyncio
import socket
import threading

import stage
from certificate import client_context, server_context


def serve(listener, context):
    while True:
        connection = context.wrap_socket(listener.accept()[0], server_side=True)
        connection.send(b"+OK\n")
        stage.keep(connection)
        if stage.healthy:
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    while connection.recv(1000):
        pass
    connection.unwrap()
    connection.close()


async def subscription(address):
    reader, writer = await asyncio.open_connection(*address, ssl=client_context())
    await reader.readline()
    writer.close()
    await writer.wait_closed()  # culprit


async def main():
    tasks = []
    if stage.healthy:
        for _ in range(3):
            await subscription(listener.getsockname())
        stage.when(lambda: True)
        await stage.forever()
    tasks.append(asyncio.ensure_future(subscription(listener.getsockname())))
    expected = lambda: [stage.finding("orphan-wait", "warning", tasks, "culprit")]
    stage.when(stage.resting({tasks[0]: "culprit"}), expected, held_for=stage.STUCK)
    await asyncio.wait(tasks)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
peer = threading.Thread(target=serve, args=(listener, server_context()), name="peer", daemon=True)
peer.start()
stage.run(main())
