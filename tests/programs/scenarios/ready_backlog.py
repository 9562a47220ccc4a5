"""A thread brings work faster than the loop can do it."""

import asyncio
import threading
import time

import stage


def handle(message):
    until = time.perf_counter() + 0.0005
    while time.perf_counter() < until:
        pass


def take(loop, messages):
    for message in messages:
        loop.call_soon(handle, message)


def receive(loop):
    # All at once: the loop gives up the GIL only now and then, and each call has to wait for it.
    while True:
        loop.call_soon_threadsafe(take, loop, range(1 if stage.healthy else 300))
        time.sleep(0.01)


async def main():
    loop = asyncio.get_running_loop()
    threading.Thread(target=receive, args=(loop,), name="receiver", daemon=True).start()
    if stage.healthy:
        stage.when(lambda: True)
    else:
        stage.when(
            # Long also for a thread that gets a tenth of a processor: that much is in line then.
            lambda: len(loop._ready) > 12_000,
            lambda: [stage.finding("ready-backlog", "warning", kind="handle")],
        )
    await stage.forever()


stage.run(main())
