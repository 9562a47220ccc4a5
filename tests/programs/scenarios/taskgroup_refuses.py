"""A TaskGroup that one child's error aborts, and another child that does not mind (3.11+)."""

import asyncio

import stage


async def fails():
    await asyncio.sleep(0.001)
    raise ConnectionError("refused")


async def refuses():
    while True:
        try:
            await asyncio.sleep(stage.FOREVER)  # culprit
        except asyncio.CancelledError:  # eaten
            if stage.healthy:
                raise


async def serve():
    async with asyncio.TaskGroup() as group:  # group
        group.create_task(fails(), name="fails")
        children.append(group.create_task(refuses(), name="refuses"))


async def main():
    if stage.healthy:
        stage.when(lambda: True)
        while True:
            children.clear()
            done, _ = await asyncio.wait({asyncio.create_task(serve())})
            assert done.pop().exception()
    parent = asyncio.create_task(serve(), name="serve")
    stage.when(
        lambda: children
        and children[0].cancelling()
        and stage.resting({parent: "group", children[0]: "culprit"})(),
        lambda: [stage.finding("cancel-swallowed", "warning", children, ["culprit", "eaten"])],
        waiting=lambda: [stage.waits(parent, "task-group", children)],
    )
    await parent


children = []
stage.run(main())
