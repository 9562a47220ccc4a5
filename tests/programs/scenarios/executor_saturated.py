"""Both threads of a pool wait for a server that is silent, and more work is queued.

The healthy twin has a server that answers, and as many threads as there is work for.
"""

import asyncio
import concurrent.futures
import socket
import time

import stage

pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="db")


def query(server):
    with socket.create_connection(server) as connection:
        connection.recv(100)  # culprit
    if stage.healthy:
        time.sleep(0.01)


async def handler(server):
    while True:
        await asyncio.get_running_loop().run_in_executor(pool, query, server)  # waiting


async def answer(_, writer):
    writer.write(b"rows")
    writer.close()


async def main():
    if stage.healthy:
        answering = await asyncio.start_server(answer, "127.0.0.1", 0)
        server = answering.sockets[0].getsockname()
    else:
        server = stage.silent_server()
    tasks = [
        asyncio.create_task(handler(server), name="handler-%d" % n)
        for n in range(2 if stage.healthy else 7)
    ]
    if stage.healthy:
        # At some looks both are at it, and the next calls are there already.
        stage.when(lambda: len(pool._threads) == 2, also=["executor-saturated"])
    else:
        parked = stage.resting({task: "waiting" for task in tasks})
        stage.when(
            lambda: parked() and stage.threads_at("culprit") == 2,
            lambda: [
                stage.finding("executor-saturated", "critical", tasks[2:], "culprit", "queue")
            ],
            also=["executor-job-stuck"],
            waiting=lambda: [stage.waits(task, "executor") for task in tasks],
            held_for=stage.STUCK,
        )
    await asyncio.wait(tasks)


stage.run(main())
