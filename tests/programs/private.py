"""A task whose variables hold secrets in every place that a report could show.

Truth: "hidden", the words that no report may have; "shown", those that it must.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import collections
import json

import common
from common import FOREVER

HIDDEN = "SECRET"


class Settings:
    def __init__(self):
        self.db_password = HIDDEN + "-attribute"
        self.dsn = "postgres://app:" + HIDDEN + "-dsn@db/prod"
        self.url = "redis://:" + HIDDEN + "-url@cache:6379/0"
        self.region = "shown-region"


class Slots:
    __slots__ = ("token", "count")

    def __init__(self):
        self.token = HIDDEN + "-slot"
        self.count = 7


Login = collections.namedtuple("Login", "user password")


async def handler():
    settings = Settings()
    slots = Slots()
    login = Login("shown-user", HIDDEN + "-field")
    headers = {"Authorization": "Bearer " + HIDDEN + "-header", "Accept": "shown-accept"}
    scope = [(b"cookie", ("id=" + HIDDEN + "-scope").encode()), (b"host", b"shown-host")]
    api_key = HIDDEN + "-variable"
    line = "host=db password=" + HIDDEN + "-text port=shown-port"
    long_url = "amqp://shop:" + HIDDEN + "-" + "x" * 100 + "@queue/"
    config = {"nested": {"client_secret": HIDDEN + "-nested"}}
    total_tokens = 4711
    no_token = None
    await asyncio.sleep(FOREVER)
    return settings, slots, login, headers, scope, api_key, line, long_url, config, total_tokens, no_token


async def failing():
    raise ValueError("cannot reach postgres://app:" + HIDDEN + "-exception@db/prod")


async def main():
    task = asyncio.ensure_future(handler())
    failed = asyncio.ensure_future(failing())
    await asyncio.sleep(0.05)
    shown = ["shown-region", "shown-user", "shown-accept", "shown-host", "shown-port", "4711"]
    print(json.dumps({"hidden": HIDDEN, "shown": shown}))
    print("READY", flush=True)
    await asyncio.sleep(FOREVER)
    return task, failed


common.watchdog()
asyncio.run(main())
