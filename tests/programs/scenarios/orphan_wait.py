"""A task waits for a future that nothing left in the process can resolve.

With `--kind callback` it is for a function within the waiting one to do that.
"""

import asyncio

import stage


async def connect(pending):
    ready = asyncio.get_running_loop().create_future()
    pending["connection"] = ready
    return await ready  # culprit


async def called_back(pending):
    ready = asyncio.get_running_loop().create_future()

    def answer(result):
        ready.set_result(result)

    pending["connection"] = answer
    del answer
    return await ready  # callback


async def main():
    pending = {}
    culprit = stage.kind or "culprit"
    wait = called_back if stage.kind else connect
    task = asyncio.create_task(wait(pending), name="connect")
    await asyncio.sleep(0)
    if stage.healthy and stage.kind:  # somebody has it and will call it
        stage.when(stage.resting({task: culprit}))
    elif stage.healthy:  # some callback, some day
        asyncio.get_running_loop().call_later(
            stage.FOREVER, pending.pop("connection").set_result, None
        )
        stage.when(stage.resting({task: culprit}))
    else:
        pending.clear()
        stage.when(
            stage.resting({task: culprit}),
            lambda: [stage.finding("orphan-wait", "warning", [task], culprit)],
            waiting=lambda: [stage.waits(task, "future")],
        )
    await task


stage.run(main())
