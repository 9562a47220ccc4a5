"""Replies that a protocol, a thread or a table will bring, some day."""

import asyncio
import os
import socket
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage

table = {}


class Client(asyncio.Protocol):
    def __init__(self):
        self.reply = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.reply.set_result(data)


async def by_protocol(server):
    _, client = await asyncio.get_running_loop().create_connection(Client, *server)
    reply = client.reply
    del client
    return await reply  # protocol


def receive(connection, loop, reply):
    data = connection.recv(100)
    loop.call_soon_threadsafe(reply.set_result, data)


async def by_thread(server):
    loop = asyncio.get_running_loop()
    reply = loop.create_future()
    arguments = (socket.create_connection(server), loop, reply)
    threading.Thread(target=receive, args=arguments, daemon=True).start()
    return await reply  # thread


async def by_table():
    table["reply"] = asyncio.get_running_loop().create_future()
    return await table["reply"]  # table


async def main():
    server = stage.silent_server()
    coroutines = {by_protocol(server): "protocol", by_thread(server): "thread", by_table(): "table"}
    places = {asyncio.create_task(coro): mark for coro, mark in coroutines.items()}
    # The thread is in its call all the time.
    stage.when(stage.resting(places), also=["executor-job-stuck"])
    await asyncio.wait(places)


stage.run(main())
