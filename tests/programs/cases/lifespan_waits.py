"""The lifespan awaits a task that never ends, so the server does not come to listen.

dmontagu/fastapi-utils#307.
"""

# packages: fastapi==0.128.8 uvicorn
# versions: 3.9-3.15
# wanted: startup-stuck
# within: 8

import asyncio
import contextlib

import case
import uvicorn
from fastapi import FastAPI


async def poll_loop():
    while True:
        await asyncio.sleep(0.5)


class Jobs:
    def startup(self):
        self.task = asyncio.ensure_future(poll_loop())
        return self.task


@contextlib.asynccontextmanager
async def lifespan(app):
    loop = asyncio.get_running_loop()
    case.ready_when(lambda: case.waiting(loop, "culprit") == 1)
    await Jobs().startup()  # culprit
    yield


uvicorn.run(FastAPI(lifespan=lifespan), port=0, log_level="error")
