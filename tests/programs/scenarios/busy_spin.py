"""A callback that puts itself back in the queue until something has happened that does not."""

import asyncio

import stage


def look_again(loop, count):
    count[0] += 1
    if stage.healthy:
        loop.call_later(0.01, look_again, loop, count)
    else:
        loop.call_soon(look_again, loop, count)


async def main():
    count = [0]
    look_again(asyncio.get_running_loop(), count)
    code = [] if stage.healthy else ["busy-spin"]
    stage.when(
        lambda: count[0] > 10,
        lambda: [stage.finding(c, "warning", kind="look_again") for c in code],
    )
    await stage.forever()


stage.run(main())
