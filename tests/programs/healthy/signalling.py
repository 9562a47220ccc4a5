"""A semaphore that begins at zero, as a signal: who waits for it never had it."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import stage


class Mailbox:
    def __init__(self):
        self.letters = []
        self.arrived = asyncio.Semaphore(0)

    async def read(self):
        while True:
            await self.arrived.acquire()  # waits
            print(self.letters.pop())

    async def deliver(self, reader, writer):
        self.letters.append(await reader.readline())
        self.arrived.release()


async def main():
    mailbox = Mailbox()
    readers = [asyncio.create_task(mailbox.read()) for _ in range(3)]
    server = await asyncio.start_server(mailbox.deliver, "127.0.0.1", 0)
    stage.when(stage.resting({reader: "waits" for reader in readers}))
    await asyncio.wait(readers)
    server.close()


stage.run(main())
