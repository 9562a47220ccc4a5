"""Two threads' loops share an asyncio.Lock: a release in one doesn't wake the other.

The shape of xorbitsai/xagent#2200.
"""

# versions: 3.10-3.15
# wanted: wakeup-lost cross-loop

import asyncio
import threading

import case

lock = asyncio.Lock()
loops = {}


async def first():
    async with lock:
        while not (lock._waiters and sleeps(threads[1])):
            await asyncio.sleep(0.01)
    await asyncio.sleep(3000)  # rests


async def second():
    await case.until(lock.locked)
    async with lock:  # culprit
        pass


async def run(coroutine):
    name = threading.current_thread().name
    loops[name] = asyncio.get_running_loop()
    await coroutine


def waits(name, mark):
    return any(case.stage.parked(task, mark) for task in asyncio.all_tasks(loops[name]))


def sleeps(thread):
    return case.asleep(thread.native_id)


threads = [
    threading.Thread(target=asyncio.run, args=(run(coroutine),), name=name)
    for coroutine, name in [(first(), "loop-a"), (second(), "loop-b")]
]
for thread in threads:
    thread.start()
case.ready_when(
    lambda: not lock.locked()
    and all(sleeps(thread) for thread in threads)
    and waits("loop-a", "rests")
    and waits("loop-b", "culprit"),
)
