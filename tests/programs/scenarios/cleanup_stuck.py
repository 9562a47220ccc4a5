"""A cancelled task says good-bye to a server that does not answer."""

import asyncio

import stage


async def session(server):
    reader, writer = await asyncio.open_connection(*server)
    try:
        await asyncio.sleep(stage.FOREVER)  # at work
    finally:
        writer.write(b"QUIT\r\n")
        if stage.healthy:
            await asyncio.sleep(0.01)
            writer.close()
        else:
            await reader.readline()  # culprit


async def stop(task):
    task.cancel()
    await asyncio.wait({task})  # stops


async def main():
    server = stage.silent_server()
    if stage.healthy:
        stage.when(lambda: True)
        while True:
            task = asyncio.create_task(session(server))
            await asyncio.sleep(0.01)
            await stop(task)
    task = asyncio.create_task(session(server), name="session")
    while not stage.parked(task, "at work"):
        await asyncio.sleep(0)
    stopper = asyncio.create_task(stop(task), name="stopper")
    stage.when(
        stage.resting({task: "culprit", stopper: "stops"}),
        lambda: [stage.finding("cleanup-stuck", "warning", [task], "culprit")],
        waiting=lambda: [stage.waits(task, "socket")],
        held_for=stage.STUCK,
    )
    await stopper


stage.run(main())
