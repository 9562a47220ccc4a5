"""A permit is left to a task that gives it back when it ends, and waits for a silent server."""

import asyncio
import functools

import stage


def give_back(slots, task):
    slots.release()


class Pool:
    def __init__(self, slots):
        self.slots = slots

    def done(self, task):
        self.free()

    def free(self):
        self.slots.release()

    def callback(self):
        slots = self.slots
        if stage.kind == "method":
            return self.done
        if stage.kind == "partial":
            return functools.partial(give_back, slots)
        if stage.kind == "default":
            return lambda task, slots=slots: slots.release()
        return lambda task: self.slots.release()

    async def submit(self, work):
        await self.slots.acquire()  # waiting
        task = asyncio.ensure_future(work)
        task.add_done_callback(self.callback())
        return task


async def fetch(server):
    if stage.healthy:
        await asyncio.sleep(0.001)
    else:
        reader, writer = await asyncio.open_connection(*server)
        await reader.readline()  # culprit


async def feed(pool, server):
    while True:
        await pool.submit(fetch(server))


def made():
    if stage.kind == "partial":
        return asyncio.Lock()
    if stage.kind == "anyio":
        import anyio

        return anyio.Semaphore(1, max_value=1)
    return asyncio.BoundedSemaphore(1) if stage.kind == "lambda" else asyncio.Semaphore(1)


async def main():
    pool, server = Pool(made()), stage.silent_server()
    if stage.healthy:
        tasks = [asyncio.ensure_future(feed(pool, server)) for _ in range(3)]
        stage.when(lambda: True)
    else:
        holder = await pool.submit(fetch(server))
        tasks = [asyncio.ensure_future(feed(pool, server)) for _ in range(3)]
        places = {task: "waiting" for task in tasks}
        places[holder] = "culprit"
        stage.when(
            stage.resting(places),
            lambda: [stage.finding("lock-convoy", "warning", [holder], "culprit", "slots")],
            held_for=stage.STUCK,
        )
    await asyncio.wait(tasks)


stage.run(main())
