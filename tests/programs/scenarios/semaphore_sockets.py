"""A hundred tasks wait for a semaphore of three, whose holders wait for a server's answer."""

import asyncio

import stage


async def fetch(limit, server):
    async with limit:  # waiting
        reader, writer = await asyncio.open_connection(*server)
        try:
            if stage.healthy:
                await asyncio.sleep(0.001)
            else:
                await reader.read(100)  # culprit
        finally:
            writer.close()


async def again_and_again(limit, server):
    while True:
        await fetch(limit, server)


async def main():
    if stage.healthy:
        # One that takes none fills up: its clients would wait for good.
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        server = server.sockets[0].getsockname()
    else:
        server = stage.silent_server()
    limit = asyncio.Semaphore(3)
    step = again_and_again if stage.healthy else fetch
    tasks = [
        asyncio.create_task(step(limit, server), name="fetch-%d" % n)
        for n in range(6 if stage.healthy else 103)
    ]
    if stage.healthy:
        stage.when(lambda: True, also=["lock-convoy"])  # The holders do wait for their peers.
    else:
        # From the time that the loop may wait it can be told how long it has.
        asyncio.get_running_loop().call_later(3600, print)
        places = {task: "waiting" for task in tasks[3:]}
        places.update({task: "culprit" for task in tasks[:3]})
        stage.when(
            stage.resting(places),
            lambda: [stage.finding("lock-convoy", "warning", tasks[:3], "culprit", "semaphore")],
            waiting=lambda: [stage.waits(tasks[0], "socket"), stage.waits(tasks[50], "semaphore")],
            held_for=stage.STUCK,
        )
    await asyncio.wait(tasks)


stage.run(main())
