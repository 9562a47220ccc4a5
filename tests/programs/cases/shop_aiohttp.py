"""A shop on aiohttp: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: aiohttp==3.14.5
# packages-3.9: aiohttp==3.8.6
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: GET /orders/{number} shop_aiohttp.py OLDEST
# wait: 8s

import asyncio

import shop
from aiohttp import web


async def order(request):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


async def main():
    app = web.Application()
    app.router.add_get("/orders/{number}", order)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", shop.PORT).start()
    await shop.stay_stuck(asyncio.Event().wait())


asyncio.run(main())
