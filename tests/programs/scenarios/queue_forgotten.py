"""join() waits for items that its only consumer has taken and not said to be done."""

import asyncio

import stage


class Requests:
    """Answers come in at a connection; who asked gets them by a queue."""

    def __init__(self, server):
        self.queue = asyncio.Queue()
        self.server = server
        self.answers = {}

    async def listen(self):
        reader, writer = await asyncio.open_connection(*self.server)
        while True:
            self.queue.put_nowait(await reader.readline())  # listening

    async def take(self):
        return await self.queue.get()  # idle

    async def hand_on(self):
        while True:
            item = await self.take()
            self.answers[item] = True

    async def look_up(self):
        while True:
            item = await self.take()
            if item not in self.answers and not stage.healthy:
                continue
            self.queue.task_done()

    async def work(self):
        while True:
            item = await self.take()
            self.answers[item] = True
            self.queue.task_done()

    def consumer(self):
        if stage.kind == "skipped":
            return self.look_up()
        return self.work() if stage.healthy else self.hand_on()

    async def drain(self):
        await self.queue.join()  # culprit


async def main():
    requests = Requests(stage.silent_server())
    listening = asyncio.ensure_future(requests.listen())
    handing = asyncio.ensure_future(requests.consumer())
    for number in range(3):
        requests.queue.put_nowait(number)
    draining = asyncio.ensure_future(requests.drain())
    places = {listening: "listening", handing: "idle"}
    if stage.healthy:
        stage.when(stage.resting(places))
    else:
        places[draining] = "culprit"
        stage.when(
            stage.resting(places),
            lambda: [
                stage.finding(
                    "queue-stalled", "warning", [draining, handing], ["culprit", "idle"], "join"
                )
            ],
        )
    await asyncio.wait([listening, draining])


stage.run(main())
