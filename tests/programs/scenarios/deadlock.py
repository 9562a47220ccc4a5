"""Two tasks take two locks in different orders."""

import asyncio

import stage


async def transfer(mine, other):
    async with mine:
        await asyncio.sleep(0)
        async with other:  # culprit
            await asyncio.sleep(0.001)


async def again_and_again(mine, other):
    while True:
        await transfer(mine, other)


async def main():
    accounts, ledger = asyncio.Lock(), asyncio.Lock()
    first = asyncio.create_task(again_and_again(accounts, ledger), name="first")
    if stage.healthy:
        second = asyncio.create_task(again_and_again(accounts, ledger), name="second")
        stage.when(lambda: True, also=["lock-convoy"])  # One of them has to wait at most times.
    else:
        second = asyncio.create_task(again_and_again(ledger, accounts), name="second")
        stage.when(
            stage.resting({first: "culprit", second: "culprit"}),
            lambda: [stage.finding("deadlock", "critical", [first, second], "culprit", "lock")],
            waiting=lambda: [stage.waits(first, "lock"), stage.waits(second, "lock")],
        )
    await asyncio.wait({first, second})


stage.run(main())
