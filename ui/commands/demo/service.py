"""A small order service in which three things have gone wrong at once.

It takes orders, keeps prices up to date and ships an audit log. Everything is quiet, the
processor idles, no order is ever answered: what such a service looks like at three in the morning.
"""

import asyncio
import os
import socket
import sys
import threading


class Prices:
    """Prices by product, fetched from the price server."""

    def __init__(self, address):
        self.address = address
        self.lock = asyncio.Lock()
        self.by_product = {}

    async def refresh(self):
        """Fetches all prices anew."""
        async with self.lock:
            reader, writer = await asyncio.open_connection(*self.address)
            writer.write(b"GET /prices\n")
            await writer.drain()
            # Trouble 1: the price server took the question and never answers. There is no
            # timeout, so this task waits for ever, with the lock in its hands.
            while True:
                line = await reader.readline()
                if not line:
                    break
                product, price = line.decode().split()
                self.by_product[product] = float(price)

    async def of(self, product):
        """The price of one product."""
        # Trouble 2: every order waits for the lock that refresh() holds.
        async with self.lock:
            return self.by_product[product]


class AuditLog:
    """Records of what happened, sent to an archive every now and then."""

    def __init__(self):
        self.records = []
        self.failures = 0

    async def flush(self):
        self.records.clear()
        await asyncio.sleep(30)

    async def ship(self):
        """Sends the records for as long as the service runs, whatever the archive does."""
        while True:
            try:
                await self.flush()
            except BaseException:
                # Trouble 3: meant for an archive that is down, this also swallows the
                # CancelledError that was to end this task.
                self.failures += 1


async def answer_order(prices, parcels, number):
    """One customer's order."""
    total = await prices.of("tea") + await prices.of("cake")
    parcels.put_nowait((number, total))


async def worker(queue):
    """Packs orders that were paid; healthy, but without work."""
    while True:
        parcel = await queue.get()
        print(parcel)
        queue.task_done()


async def probe(name, seconds):
    """Asks a neighbour how it is; healthy."""
    await asyncio.sleep(seconds)
    return name


async def check_health():
    """Asks all neighbours at the same time; healthy."""
    names = ["database", "cache", "mail"]
    while True:
        await asyncio.gather(*(probe(name, 60) for name in names))


def start(coroutine, name):
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def main(ready):
    silent = socket.create_server(("127.0.0.1", 0))  # never accepts, never answers
    prices = Prices(silent.getsockname())
    audit_log = AuditLog()
    parcels = asyncio.Queue()

    tasks = [start(prices.refresh(), "refresh-prices")]
    shipper = start(audit_log.ship(), "audit-log")
    tasks += [shipper, start(check_health(), "health")]
    tasks += [start(worker(parcels), f"worker-{n}") for n in range(4)]
    await asyncio.sleep(0.3)
    tasks += [start(answer_order(prices, parcels, n), f"order-{n}") for n in range(101, 107)]

    shipper.cancel()
    asyncio.get_running_loop().call_later(0.3, ready)
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
