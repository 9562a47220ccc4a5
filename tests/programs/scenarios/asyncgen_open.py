"""A loop over an asynchronous generator was left early, and the generator is still open."""

import asyncio

import stage


async def rows():
    for number in range(1000):
        await asyncio.sleep(0)
        yield number  # open


async def first_row():
    generator = rows()
    async for row in generator:
        break
    if stage.healthy:
        await generator.aclose()
    await asyncio.sleep(stage.FOREVER)  # parked


async def main():
    task = asyncio.create_task(first_row(), name="first-row")
    code = [] if stage.healthy else ["asyncgen-open"]
    stage.when(
        stage.resting({task: "parked"}),
        lambda: [stage.finding(c, "info", at="open", kind="rows") for c in code],
    )
    await task


stage.run(main())
