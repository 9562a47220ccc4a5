"""asyncio.run cancels a task whose `finally` waits for an answer that never comes."""

import asyncio

import stage


async def session(server):
    reader, writer = await asyncio.open_connection(*server)
    try:
        await asyncio.sleep(stage.FOREVER)  # at work
    finally:
        await reader.readline()  # culprit


async def main():
    task = asyncio.create_task(session(stage.silent_server()), name="session")
    while not stage.parked(task, "at work"):
        await asyncio.sleep(0)
    parked = stage.resting({task: "culprit"})
    stage.when(
        lambda: stage.within("_cancel_all_tasks") and parked(),
        lambda: [
            stage.finding("shutdown-stuck", "warning", [task], kind="cancel-all"),
            stage.finding("cleanup-stuck", "warning", [task], "culprit"),
        ],
        held_for=stage.STUCK,
    )


asyncio.run(main())
