"""Two tasks of a group take two locks of anyio's in different orders."""

import asyncio

import anyio

import stage

told = {}


async def transfer(name, mine, other):
    told[name] = asyncio.current_task()
    while True:
        async with mine:
            await asyncio.sleep(0)
            async with other:  # culprit
                await asyncio.sleep(0.001)


async def main():
    accounts, ledger = anyio.Lock(), anyio.Lock()
    parent = asyncio.current_task()
    async with anyio.create_task_group() as group:
        group.start_soon(transfer, "first", accounts, ledger, name="first")
        order = (accounts, ledger) if stage.healthy else (ledger, accounts)
        group.start_soon(transfer, "second", *order, name="second")
        await asyncio.sleep(0)
        if stage.healthy:
            stage.when(lambda: True, also=["lock-convoy"])  # One has to wait at most times.
        else:
            tasks = [told["first"], told["second"]]
            stage.when(
                stage.resting({task: "culprit" for task in tasks}),
                lambda: [stage.finding("deadlock", "critical", tasks, "culprit", "lock")],
                waiting=lambda: [
                    stage.waits(parent, "task-group", tasks),
                    *[stage.waits(task, "lock") for task in tasks],
                ],
            )


stage.run(main())
