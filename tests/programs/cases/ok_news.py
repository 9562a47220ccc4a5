"""A request of Django's that waits for news, for as long as there are none.

Django tells its signals of each request with `send` before it calls the view: that asks nobody.
"""

# packages: django==5.2.8 uvicorn==0.54.0
# packages-3.8: django==4.2.25 uvicorn==0.22.0
# versions: 3.8 3.11 3.13
# wanted: nothing

import asyncio
import sys

import case
import django
import shop
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

news = None


async def latest(request, number):
    return HttpResponse(await news.readline())


urlpatterns = [path("orders/<int:number>", latest)]
settings.configure(ROOT_URLCONF=sys.modules[__name__], ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
django.setup()


async def main():
    global news
    loop = asyncio.get_event_loop()
    serving = shop.on_uvicorn(get_asgi_application())
    news, writer = await shop.open_stock()
    writer.write(b"tell me what is new\n")
    await shop.come(1)
    case.ready_when(lambda: case.runs(loop, "latest"), held_for=7.0)
    await serving


asyncio.run(main())
