"""A shop on Django, on uvicorn: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: django==5.2.8 uvicorn==0.54.0
# packages-3.9: django==3.2.25 uvicorn==0.22.0
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: GET orders/<int:number> shop_django.py OLDEST
# wait: 8s

import asyncio
import sys

import django
import shop
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path


async def order(request, number):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return HttpResponse(await reader.readline())  # culprit


urlpatterns = [path("orders/<int:number>", order)]
settings.configure(
    ROOT_URLCONF=sys.modules[__name__],
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()


async def main():
    await shop.stay_stuck(shop.on_uvicorn(get_asgi_application()))


asyncio.run(main())
