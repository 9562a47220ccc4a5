"""One end of a stream of anyio's waits for the other, which has ended without closing it."""

import asyncio

import anyio

import stage

senders = []
receivers = []


async def send(stream):
    senders.append(asyncio.current_task())
    while True:
        await stream.send("an item")  # culprit


async def receive(stream):
    receivers.append(asyncio.current_task())
    async for _ in stream:
        await asyncio.sleep(0.001)
        if not stage.healthy:
            return  # early, and without closing it


async def send_some(stream):
    senders.append(asyncio.current_task())
    if stage.healthy:
        async with stream:
            while True:
                await stream.send("an item")
    await stream.send("the last item")  # and it is not closed


async def receive_all(stream):
    receivers.append(asyncio.current_task())
    async for _ in stream:  # waiting
        await asyncio.sleep(0.001)


async def endless():
    sending, receiving = anyio.create_memory_object_stream(3)
    parent = asyncio.current_task()
    async with anyio.create_task_group() as group:
        group.start_soon(receive_all, receiving, name="receive")
        group.start_soon(send_some, sending, name="send")
        await asyncio.sleep(0)
        if stage.healthy:
            stage.when(lambda: True, also=["queue-stalled"])
        else:
            parked = stage.resting({receivers[0]: "waiting"})
            says = "is empty and its last producer has ended"
            stage.when(
                lambda: senders[0].done() and parked(),
                lambda: [
                    stage.finding("queue-stalled", "warning", receivers, "waiting", "queue", [says])
                ],
                waiting=lambda: [stage.waits(parent, "task-group", receivers)],
            )


async def main():
    if stage.kind == "endless":
        await endless()
    size = 0 if stage.kind == "unbuffered" else 3
    sending, receiving = anyio.create_memory_object_stream(size)
    parent = asyncio.current_task()
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(send, sending, name="send-%d" % n)
        group.start_soon(receive, receiving, name="receive")
        await asyncio.sleep(0)
        if stage.healthy:
            stage.when(lambda: True, also=["queue-stalled"])  # It is full, and a slow one takes.
        else:
            says = "without a buffer" if stage.kind == "unbuffered" else "full (3 of 3)"
            parked = stage.resting({task: "culprit" for task in senders})
            stage.when(
                lambda: receivers[0].done() and parked(),
                lambda: [
                    stage.finding("queue-stalled", "warning", senders, "culprit", "queue", [says])
                ],
                waiting=lambda: [
                    stage.waits(parent, "task-group", senders),
                    *[stage.waits(task, "queue") for task in senders],
                ],
            )


stage.run(main())
