"""A task has failed, and only an object that no function has in a variable keeps it: from 3.14 on no
list of Python's has it, and only a search of the heap finds it."""

import asyncio

import stage


class Job:
    def __init__(self, number):
        self.number = number
        self.task = asyncio.ensure_future(send(number))


class Outbox:
    """Keeps what it has sent."""

    jobs = {}

    def add(self, number):
        self.jobs[number] = Job(number)


async def send(number):
    raise ConnectionError("no route to %d" % number)  # culprit


def arrange():
    failed = [job.task for job in Outbox.jobs.values()]
    if stage.healthy:
        for task in failed:
            task.exception()
        stage.when(stage.asleep)
    else:
        stage.when(
            stage.asleep,
            lambda: [stage.finding("exception-unretrieved", "warning", failed, "culprit")],
        )


def start():
    outbox = Outbox()
    for number in range(3):
        outbox.add(number)


async def main():
    start()
    await asyncio.sleep(0.01)
    arrange()
    await asyncio.Future()


stage.run(main())
