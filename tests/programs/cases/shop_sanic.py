"""A shop on Sanic: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: sanic==25.3.0
# packages-3.9: sanic==22.12.0
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: GET /orders/<number:int> shop_sanic.py OLDEST
# wait: 8s

import asyncio

import case
import shop
from sanic import Sanic, text

app = Sanic("shop")


@app.get("/orders/<number:int>")
async def order(request, number):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return text(await reader.readline())  # culprit


@app.after_server_start
async def started(app, loop):
    shop.ready()
    case.keep(loop.create_task(shop.come()))


app.run("127.0.0.1", shop.PORT, single_process=True, access_log=False, motd=False)
