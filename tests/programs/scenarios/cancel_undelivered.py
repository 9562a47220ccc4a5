"""A task that was cancelled while it waits for a future that refuses to be cancelled."""

import asyncio

import stage


class Reply(asyncio.Future):
    """A reply that must not get lost, whoever waits for it."""

    def cancel(self, *message, **named):
        return False


async def ask():
    reply = Reply()
    stage.keep(reply)
    await reply  # culprit


async def main():
    task = asyncio.create_task(ask(), name="ask")
    await asyncio.sleep(0)
    task.cancel()
    stage.when(
        stage.resting({task: "culprit"}),
        lambda: [stage.finding("cancel-undelivered", "warning", [task], "culprit")],
        also=["orphan-wait"],
    )
    await stage.forever()


stage.run(main())
