"""A task waits for something that nobody else can come to: only a search of the heap can say so."""

import asyncio

import stage


class Job:
    """Holds its event, and is held by what it holds."""

    def __init__(self):
        self.finished = asyncio.Event()
        self.steps = [self.finish]
        self.listeners = {"done": self.steps}

    def finish(self):
        self.finished.set()


async def event(known):
    ready = asyncio.Event()
    known.append(ready)
    await ready.wait()  # culprit event


async def condition(known):
    changed = asyncio.Condition()
    known.append(changed)
    async with changed:
        await changed.wait()  # culprit condition


async def job(known):
    work = Job()
    known.append(work)
    await work.finished.wait()  # culprit job


async def closure(known):
    ready = asyncio.Event()

    def announce():
        ready.set()

    known.append(announce)
    announcers = {announce: [announce]}
    await ready.wait()  # culprit closure
    return announcers


async def main():
    known = []
    kind = stage.kind or "event"
    work = {"event": event, "condition": condition, "job": job, "closure": closure}[kind]
    task = asyncio.create_task(work(known), name=kind)
    await asyncio.sleep(0)
    mark = "culprit " + kind
    if stage.healthy:  # somebody, some day
        asyncio.get_running_loop().call_later(stage.FOREVER, known.pop)
        stage.when(stage.resting({task: mark}))
    else:
        known.clear()
        thing = "condition" if kind == "condition" else "event"
        stage.when(
            stage.resting({task: mark}),
            lambda: [stage.finding("orphan-wait", "warning", [task], mark, kind=thing)],
            waiting=lambda: [stage.waits(task, thing)],
        )
    await task


stage.run(main())
