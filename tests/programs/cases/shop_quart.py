"""A shop on Quart, on hypercorn: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: quart==0.20.0 hypercorn==0.18.0
# packages-3.9: quart==0.18.4 hypercorn==0.14.4 werkzeug==2.3.8
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: GET /orders/<int:number> shop_quart.py OLDEST
# wait: 8s

import asyncio

import shop
import hypercorn.asyncio
import hypercorn.config
from quart import Quart


async def order(number):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


async def main():
    app = Quart("shop")
    app.add_url_rule("/orders/<int:number>", view_func=order)
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:%d" % shop.PORT]
    serving = asyncio.ensure_future(hypercorn.asyncio.serve(app, config))
    await shop.stay_stuck(serving)


asyncio.run(main())
