"""asyncio.run closes an asynchronous generator, whose clean-up never ends."""

import asyncio

import stage


async def rows(released):
    try:
        yield 1
        yield 2
    finally:
        await released.wait()  # culprit


async def main():
    generator = rows(asyncio.Event())
    stage.keep(generator)
    async for _ in generator:
        break
    loop = asyncio.get_running_loop()
    stage.when(
        lambda: stage.runs(loop, "shutdown_asyncgens") and stage.asleep(),
        lambda: [stage.finding("shutdown-stuck", "critical", at="culprit", kind="asyncgens")],
        also=["asyncgen-open", "orphan-wait"],
    )


asyncio.run(main())
