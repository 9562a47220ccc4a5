"""Synchronous code that runs in a greenlet on the loop's thread, and reads from a silent server."""

import asyncio
import contextlib
import socket

import stage

import bridge

server = stage.silent_server()


def migrate():
    bridge.await_(asyncio.sleep(0))  # from here on it is resumed, not started
    with socket.create_connection(server) as connection:
        if stage.healthy:
            bridge.await_(asyncio.sleep(stage.FOREVER))
        connection.recv(100)  # culprit


@contextlib.asynccontextmanager
async def begin():
    yield await bridge.spawn(migrate)  # parked


async def handler():
    await asyncio.sleep(0)
    async with begin():
        pass


async def main():
    task = asyncio.create_task(handler(), name="handler")
    if stage.healthy:
        stage.when(stage.resting({task: "parked"}))
    else:
        stage.when(
            lambda: stage.stuck("culprit"),
            lambda: [
                stage.finding(
                    "loop-blocked", "critical", [task], "culprit", "socket", ["%s:%d" % server]
                )
            ],
            held_for=1.1,
        )
    await task


stage.run(main())
