"""A job queue of the program's own, of which no library's rule knows: two workers at a job each, an idle
one, and a call to a stock service.

SECRET stands wherever nobody is to read it. Prints the epoch at which its jobs began, then READY, and
goes on until its standard input ends.
"""

import asyncio
import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

common.watchdog()

STARTED = time.time()


class Job:
    __slots__ = ("function", "number", "started", "arguments")

    def __init__(self, function, number):
        self.function, self.number, self.started = function, number, STARTED
        self.arguments = {"token": "SECRET"}


class Worker:
    async def run(self, job):
        await asyncio.sleep(common.FOREVER)

    async def take(self):
        job = None
        await asyncio.sleep(common.FOREVER)
        return job


async def ask_stock(host, url):
    await asyncio.sleep(common.FOREVER)


async def main():
    worker = Worker()
    tasks = [asyncio.ensure_future(one) for one in [
        worker.run(Job("send_mail", 7)), worker.run(Job("resize_image", 8)), worker.take(),
        ask_stock("stock.internal", "/stock/7?token=SECRET")]]
    await asyncio.sleep(0)
    print(json.dumps({"started": STARTED}), flush=True)
    print("READY", flush=True)
    await asyncio.wait(tasks)


asyncio.run(main())
