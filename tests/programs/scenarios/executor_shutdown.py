"""asyncio.run waits for a job of the default executor that never ends."""

import asyncio
import socket
import sys

import stage


def read_reply(connection):
    return connection.recv(100)  # culprit


async def main():
    connection = socket.create_connection(stage.silent_server())
    loop = asyncio.get_running_loop()
    if stage.healthy:
        connection.shutdown(socket.SHUT_RDWR)  # the job ends, and what follows runs for long
        await loop.run_in_executor(None, read_reply, connection)
        stage.when(stage.asleep)
        await stage.forever()
    loop.run_in_executor(None, read_reply, connection)
    # 3.8's asyncio.run leaves the worker thread to the interpreter.
    old = sys.version_info < (3, 9)
    phase = "interpreter-threads" if old else "default-executor"
    stage.when(
        lambda: stage.within("_python_exit") if old else stage.runs(loop, "shutdown_default_executor") and stage.asleep(),
        lambda: [stage.finding("shutdown-stuck", "warning", at="culprit", kind=phase)],
        also=["executor-job-stuck"],
        held_for=stage.STUCK,
    )


asyncio.run(main())
