"""An exchange office whose event loop is held by one ordinary function call.

The rates come from a library that knows nothing of asyncio: while it waits for an answer, nothing
else runs, no customer is served and no timer fires.
"""

import asyncio
import os
import socket
import sys
import threading


class RatesClient:
    """A client for the rates server, written for programs with threads."""

    def __init__(self, address):
        self.address = address

    def fetch(self):
        """The rates of today."""
        with socket.create_connection(self.address) as connection:
            connection.sendall(b"GET /rates\n")
            # The trouble: this waits for the answer, and the event loop with it. In a thread
            # of its own (asyncio.to_thread) it would do no harm.
            return self.read_answer(connection)

    def read_answer(self, connection):
        chunks = []
        while True:
            chunk = connection.recv(65536)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)


async def update_rates(client):
    """Fetches the rates every now and then."""
    while True:
        rates = client.fetch()
        print("new rates:", len(rates), "bytes")
        await asyncio.sleep(60)


async def beat():
    """Tells the load balancer ten times a second that all is well."""
    while True:
        await asyncio.sleep(0.1)


async def serve_customer(counter):
    """Would serve customers, if it had a turn."""
    while True:
        await counter.wait()
        counter.clear()


async def main(ready):
    silent = socket.create_server(("127.0.0.1", 0))  # never accepts, never answers
    counter = asyncio.Event()
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(beat(), name="heartbeat")]
    tasks += [loop.create_task(serve_customer(counter), name=f"customer-{n}") for n in range(5)]
    await asyncio.sleep(0.25)

    client = RatesClient(silent.getsockname())
    tasks.append(loop.create_task(update_rates(client), name="update-rates"))
    counter.set()  # the customers' turn comes after it
    ready()
    await asyncio.gather(*tasks)


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
