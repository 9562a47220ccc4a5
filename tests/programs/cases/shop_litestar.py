"""A shop on Litestar: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: litestar==2.25.0 uvicorn==0.54.0
# packages-3.9: litestar==2.2.1 uvicorn==0.22.0
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown-3.9: GET order shop_litestar.py OLDEST
# shown: GET /orders/{number shop_litestar.py OLDEST
# wait: 8s

import asyncio

import shop
from litestar import Litestar, get


@get("/orders/{number:int}")
async def order(number: int) -> bytes:
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


app = Litestar([order])


async def main():
    await shop.stay_stuck(shop.on_uvicorn(app))


asyncio.run(main())
