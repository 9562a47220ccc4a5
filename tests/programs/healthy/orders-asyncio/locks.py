"""A lock of the program's own, which a server's answer opens."""

import asyncio


class Lock:
    async def acquire(self):
        loop = asyncio.get_event_loop()
        answer = loop.create_future()
        loop.call_later(3600, answer.set_result, True)
        await answer  # answer

    async def __aenter__(self):
        await self.acquire()

    async def __aexit__(self, *exc_info):
        pass
