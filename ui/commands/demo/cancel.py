"""A mail relay that was told to shut down, cancelled all its tasks, and still runs.

Of its tasks one ends as it should, one swallows the cancellation, one is stuck while it cleans up
after it, and one protects its work from it.
"""

import asyncio
import os
import sys
import threading


async def accept_mail(queue):
    """Takes mail in; ends at once when cancelled, as it should."""
    while True:
        await asyncio.sleep(3600)
        await queue.put("mail")


async def deliver(queue):
    """Sends mail out."""
    while True:
        try:
            mail = await queue.get()
            print("delivering", mail)
        except (OSError, asyncio.CancelledError):
            # The trouble: "try again" is the right answer to OSError only.
            continue


class Session:
    """A connection to the next relay, which is to be told goodbye."""

    def __init__(self):
        self.goodbye_answered = asyncio.Event()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        # The trouble: the next relay has hung up long ago, and there is no timeout.
        await self.goodbye_answered.wait()


async def relay(session):
    """Holds the connection to the next relay."""
    async with session:
        await asyncio.sleep(3600)


async def write_journal():
    await asyncio.sleep(3600)


async def keep_journal():
    """Writes the journal; whatever happens, a page that was begun is written to its end."""
    page = asyncio.ensure_future(write_journal())
    try:
        await asyncio.shield(page)
    except asyncio.CancelledError:
        await page
        raise


async def shut_down(tasks):
    """Ends all tasks, and waits until they are."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(ready):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()
    tasks = [
        loop.create_task(accept_mail(queue), name="accept"),
        loop.create_task(deliver(queue), name="deliver"),
        loop.create_task(relay(Session()), name="relay"),
        loop.create_task(keep_journal(), name="journal"),
    ]
    await asyncio.sleep(0.2)

    loop.call_later(0.3, ready)
    await shut_down(tasks)


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
