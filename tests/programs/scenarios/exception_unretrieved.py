"""A background task has failed, and whoever started it keeps it and never looks."""

import asyncio

import stage


async def refresh():
    await asyncio.sleep(0.001)
    raise ValueError("no such column: price")


async def serve():
    refresher = asyncio.create_task(refresh(), name="refresher")
    tasks.append(refresher)
    if stage.healthy:
        try:
            await refresher
        except ValueError:
            pass
    await asyncio.sleep(stage.FOREVER)  # parked


async def main():
    server = asyncio.create_task(serve(), name="server")
    code = [] if stage.healthy else ["exception-unretrieved"]
    parked = stage.resting({server: "parked"})
    stage.when(
        lambda: parked() and tasks[0].done(),
        lambda: [stage.finding(c, "warning", tasks, kind="ValueError") for c in code],
    )
    await server


tasks = []
stage.run(main())
