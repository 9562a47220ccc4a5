"""Two tasks wait for each other's end."""

import asyncio

import stage

tasks = {}


async def writer():
    await asyncio.sleep(0)
    await tasks["reader"]  # writer waits


async def reader():
    await asyncio.sleep(0)
    await tasks["writer"]  # reader waits


async def main():
    for function in (writer, reader):
        name = function.__name__
        tasks[name] = asyncio.create_task(function(), name=name)
    both = [tasks["writer"], tasks["reader"]]
    stage.when(
        stage.resting({both[0]: "writer waits", both[1]: "reader waits"}),
        lambda: [
            stage.finding("deadlock", "critical", both, ["writer waits", "reader waits"], "task")
        ],
        waiting=lambda: [stage.waits(both[0], "task", [both[1]])],
    )
    await stage.forever()


stage.run(main())
