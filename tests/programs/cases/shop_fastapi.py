"""A shop on FastAPI: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: fastapi==0.139.0 uvicorn==0.54.0
# packages-3.9: fastapi==0.95.2 uvicorn==0.22.0
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: GET /orders/{number} shop_fastapi.py OLDEST
# wait: 8s

import asyncio

import shop
from fastapi import FastAPI

app = FastAPI()


@app.get("/orders/{number}")
async def order(number: int):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


async def main():
    await shop.stay_stuck(shop.on_uvicorn(app))


asyncio.run(main())
