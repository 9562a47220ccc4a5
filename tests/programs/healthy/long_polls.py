"""Clients whose server answers when there is news, with the time limits that aiohttp has."""

import asyncio
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenarios"))

import aiohttp

import stage

LIMITS = [dict(total=3600), dict(total=None, sock_read=3600)]


async def poll(address, limits):
    timeout = aiohttp.ClientTimeout(**limits)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        await session.get("http://%s:%d/news" % address)  # polls


async def main():
    address = stage.silent_server()
    tasks = [asyncio.ensure_future(poll(address, limits)) for limits in LIMITS]
    resting = stage.resting({task: "polls" for task in tasks})
    stage.when(resting, also=["peer-silent"], held_for=stage.STUCK)
    await asyncio.wait(tasks)


stage.run(main())
