"""A thread brings work faster than the loop can do it."""

import asyncio
import threading
import time

import stage


def handle(message):
    until = time.perf_counter() + 0.0005
    while time.perf_counter() < until:
        pass


def receive(loop):
    while True:
        for message in range(1 if stage.healthy else 100):
            loop.call_soon_threadsafe(handle, message)
        time.sleep(0.01)


async def main():
    loop = asyncio.get_running_loop()
    threading.Thread(target=receive, args=(loop,), name="receiver", daemon=True).start()
    if stage.healthy:
        stage.when(lambda: True)
    else:
        stage.when(
            lambda: len(loop._ready) > 3000,  # what is done meanwhile leaves more than 1,000
            lambda: [stage.finding("ready-backlog", "warning", kind="handle")],
        )
    await stage.forever()


stage.run(main())
