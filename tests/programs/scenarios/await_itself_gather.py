"""The same with gather: a task waits for a group that it is one of itself."""

import asyncio

import stage

members = []


async def finish_all():
    await asyncio.gather(*members)  # culprit


async def member(number):
    if number == 2:
        await asyncio.sleep(0)
        await finish_all()
    await asyncio.sleep(stage.FOREVER)


async def main():
    for number in range(4):
        members.append(asyncio.create_task(member(number), name="member-%d" % number))
    stage.when(
        stage.resting({members[2]: "culprit"}),
        lambda: [stage.finding("deadlock", "critical", [members[2]], "culprit")],
    )
    await stage.forever()


stage.run(main())
