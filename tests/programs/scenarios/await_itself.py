"""A task that stops everything, itself too, and waits for all of it to end."""

import asyncio

import stage


async def serve():
    await asyncio.sleep(stage.FOREVER)


async def drain():
    tasks = asyncio.all_tasks() - ({asyncio.current_task()} if stage.healthy else set())
    await asyncio.wait(tasks)  # culprit


async def reload():
    await asyncio.sleep(0)
    await drain()


async def main():
    server = asyncio.create_task(serve(), name="server")
    reloader = asyncio.create_task(reload(), name="reloader")
    expected = [] if stage.healthy else ["deadlock"]
    stage.when(
        stage.resting({reloader: "culprit"}),
        lambda: [stage.finding(code, "critical", [reloader], "culprit") for code in expected],
    )
    await asyncio.wait({server})


stage.run(main())
