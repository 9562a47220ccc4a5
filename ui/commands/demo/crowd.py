"""A chat server with a thousand guests, nearly all of whom are silent; nothing is wrong with it.

It shows how a thousand tasks of one look take a few lines of a report.
"""

import asyncio
import os
import sys
import threading


class Room:
    """A room of the chat; what one guest says goes to all queues."""

    def __init__(self, name):
        self.name = name
        self.queues = []

    async def listen(self):
        """What is said in this room, line by line."""
        queue = asyncio.Queue()
        self.queues.append(queue)
        while True:
            yield await queue.get()


async def send_lines(room):
    """Sends a guest what others say."""
    async for line in room.listen():
        print(line)


async def ping():
    """Sees to it that a guest's connection stays open."""
    while True:
        await asyncio.sleep(300)


async def serve_guest(room):
    """One guest: two jobs at the same time, for as long as the guest stays."""
    await asyncio.gather(send_lines(room), ping())


async def main(ready):
    loop = asyncio.get_running_loop()
    rooms = [Room("music"), Room("garden")]
    guests = [
        loop.create_task(serve_guest(rooms[n % 2]), name=f"guest-{n}") for n in range(1000)
    ]
    loop.call_later(0.5, ready)
    await asyncio.wait(guests)


def tell_ready():
    print("READY", os.getpid(), flush=True)


def end_with_parent():
    """Ends this program as soon as the one that started it is gone."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    if "--keep" not in sys.argv:
        threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    asyncio.run(main(tell_ready))
