"""A client on anyio's streams, as httpx is one, has no time limit and waits for an answer."""

import asyncio

import anyio

import stage


async def ask(address, limit):
    async with await anyio.connect_tcp(*address) as stream:
        with anyio.fail_after(limit):
            await stream.send(b"a question\n")
            await stream.receive()  # waits


async def main():
    address = stage.silent_server()
    task = asyncio.ensure_future(ask(address, stage.FOREVER if stage.healthy else None))
    waits = stage.resting({task: "waits"})
    if stage.healthy:  # it ends by itself, some day
        stage.when(waits, also=["peer-silent"], held_for=stage.STUCK)
    else:
        stage.when(
            waits,
            lambda: [stage.finding("peer-silent", "warning", [task], "waits", "acknowledged")],
            waiting=lambda: [stage.waits(task, "socket")],
            held_for=stage.STUCK,
        )
    await task


stage.run(main())
