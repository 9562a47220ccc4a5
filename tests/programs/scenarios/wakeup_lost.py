"""A thread gives its result to a future without telling the loop, which sleeps on."""

import asyncio
import threading

import stage


def compute(loop, future):
    while not stage.common.is_polling(stage.MAIN_TID):
        pass
    if stage.healthy:
        loop.call_soon_threadsafe(future.set_result, 42)
    else:
        future.set_result(42)


async def ask(future):
    await future  # culprit
    await asyncio.sleep(stage.FOREVER)  # at rest


async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    task = asyncio.create_task(ask(future), name="ask")
    thread = threading.Thread(target=compute, args=(loop, future), daemon=True)
    if stage.healthy:
        stage.when(stage.resting({task: "at rest"}))
    else:
        stage.when(
            lambda: not thread.is_alive() and future.done(),
            lambda: [stage.finding("wakeup-lost", "critical", [task], "culprit", "ask")],
        )
    thread.start()
    await asyncio.wait({task})


stage.run(main())
