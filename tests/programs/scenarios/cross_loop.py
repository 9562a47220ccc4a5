"""One asyncio.Lock for two loops in two threads: held on one of them, waited for on the other."""

import asyncio
import threading

import stage


async def render(lock):
    async with lock:
        taken.set()
        await asyncio.sleep(stage.FOREVER)  # holds


async def handler(lock):
    async with lock:  # waits
        pass


async def other(lock):
    tasks["render"] = asyncio.create_task(render(lock), name="render")
    tids.append(threading.get_native_id())
    await tasks["render"]


async def main():
    lock = asyncio.Lock()
    thread = threading.Thread(target=lambda: asyncio.run(other(lock)), daemon=True)
    thread.start()
    await asyncio.get_running_loop().run_in_executor(None, taken.wait)
    task = tasks["handler"] = asyncio.create_task(handler(lock), name="handler")
    places = {task: "waits", tasks["render"]: "holds"}
    parked = stage.resting(places)
    stage.when(
        lambda: parked() and stage.asleep(tids[0]),
        lambda: [
            stage.finding("cross-loop", "critical", [task, tasks["render"]], ["holds", "waits"])
        ],
        also=["lock-convoy"],
    )
    await task


taken = threading.Event()
tasks = {}
tids = []
stage.run(main())
