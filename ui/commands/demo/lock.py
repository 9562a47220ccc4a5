"""A bank in which two transfers wait for each other, and everybody else for them.

Each transfer locks the account it takes from, then the one it gives to. Two transfers in opposite
directions then hold what the other one wants.
"""

import asyncio
import os
import sys
import threading


class Account:
    """An account; whoever changes it holds its lock."""

    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance
        self.lock = asyncio.Lock()

    async def show(self):
        """The balance, when nobody changes it."""
        async with self.lock:
            return self.balance


async def transfer(source, target, amount):
    """Moves money from one account to another."""
    async with source.lock:
        await asyncio.sleep(0.1)  # ask whether this is allowed
        # The trouble: the order of the locks depends on the direction of the transfer.
        async with target.lock:
            source.balance -= amount
            target.balance += amount


async def show_balance(account, window):
    """A customer at a window of the bank."""
    return window, await account.show()


async def main(ready):
    loop = asyncio.get_running_loop()
    ada, bob = Account("ada", 100), Account("bob", 100)
    transfers = [
        loop.create_task(transfer(ada, bob, 10), name="ada-to-bob"),
        loop.create_task(transfer(bob, ada, 20), name="bob-to-ada"),
    ]
    await asyncio.sleep(0.3)
    customers = [
        loop.create_task(show_balance(account, n), name=f"window-{n}")
        for n, account in enumerate([ada, bob] * 10)
    ]
    loop.call_later(0.3, ready)
    await asyncio.gather(*transfers, *customers)


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
