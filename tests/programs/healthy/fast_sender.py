"""A sender whose peer takes all as it comes: it gives way to others after each message."""

import asyncio
import os
import socket
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

sent = [0]


def take(listener):
    connection, _ = listener.accept()
    while connection.recv(1 << 20):
        pass


async def send(address):
    _, writer = await asyncio.open_connection(*address)
    while True:
        writer.write(b"a message" * 20)
        await writer.drain()
        await asyncio.sleep(0)
        sent[0] += 1


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=take, args=(listener,), daemon=True).start()
    stage.when(lambda: sent[0] > 100)
    await send(listener.getsockname())


stage.run(main())
