"""gather of fifty, one of which waits for a reply that nothing will ever bring."""

import asyncio

import stage


class Client:
    """Requests and replies over one connection, matched by number."""

    def __init__(self):
        self.replies = {}

    async def ask(self, number):
        reply = self.replies[number] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, self.on_reply, number)
        if number == 31 and not stage.healthy:
            del self.replies[number]  # a reconnect forgot it
        return await reply  # culprit

    def on_reply(self, number):
        if number in self.replies:
            self.replies.pop(number).set_result(number)


async def ask_all(client):
    tasks = [asyncio.create_task(client.ask(n), name="ask-%d" % n) for n in range(50)]
    children[:] = tasks
    await asyncio.gather(*tasks)  # gathers
    return tasks


async def main():
    if stage.healthy:
        stage.when(lambda: True)
        while True:
            await ask_all(Client())
    parent = asyncio.create_task(ask_all(Client()), name="ask-all")
    others = stage.resting({parent: "gathers"})
    stage.when(
        lambda: others()
        and [n for n, task in enumerate(children) if not task.done()] == [31]
        and stage.parked(children[31], "culprit"),
        lambda: [stage.finding("orphan-wait", "warning", [children[31]], "culprit")],
        waiting=lambda: [stage.waits(parent, "gather", [children[31]])],
    )
    await parent


children = []
stage.run(main())
