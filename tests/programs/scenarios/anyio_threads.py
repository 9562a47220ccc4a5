"""anyio's worker threads wait for a silent server, and its capacity limiter has no more of them."""

import asyncio
import socket
import time

import anyio
import anyio.to_thread

import stage


def query(server):
    if stage.healthy:
        # Who never accepts lets only as many connect as its backlog has room for.
        time.sleep(0.01)
        return
    with socket.create_connection(server) as connection:
        connection.recv(100)  # culprit


async def handler(limiter, server):
    while True:
        await anyio.to_thread.run_sync(query, server, limiter=limiter)  # waiting


async def main():
    limiter = anyio.CapacityLimiter(2)
    server = stage.silent_server()
    tasks = [
        asyncio.create_task(handler(limiter, server), name="handler-%d" % n)
        for n in range(2 if stage.healthy else 7)
    ]
    if stage.healthy:
        stage.when(lambda: limiter.borrowed_tokens == 2)
    else:
        parked = stage.resting({task: "waiting" for task in tasks})
        stage.when(
            lambda: parked() and stage.threads_at("culprit") == 2,
            lambda: [
                stage.finding("executor-saturated", "critical", tasks[2:], "culprit", "limiter")
            ],
            also=["executor-job-stuck", "lock-convoy"],
            waiting=lambda: [stage.waits(task, "executor") for task in tasks[:2]],
            held_for=stage.STUCK,
        )
    await asyncio.wait(tasks)


stage.run(main())
