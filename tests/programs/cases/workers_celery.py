"""A child of celery's prefork pool runs a loop for its task, which a call blocks; the worker is asked about."""

# packages: celery==5.6.0 redis==6.4.0 packaging==25.0
# packages-3.9: celery==5.3.6 redis==5.0.8 packaging==25.0
# needs: redis
# versions: 3.9 3.11 3.13
# loops: asyncio
# options: -s
# wanted: loop-blocked
# within: 3

import asyncio
import os

import case
import workers
from celery import Celery
from celery.signals import worker_ready

QUEUE = "orders-%d" % os.getpid()
app = Celery("shop", broker="redis://127.0.0.1:%s/0" % os.environ["REDIS_PORT"])
app.conf.update(task_default_queue=QUEUE, worker_redirect_stdouts=False)


async def count():
    await asyncio.sleep(0)
    workers.hold().recv(10)  # culprit


@app.task(name="order")
def order():
    asyncio.run(count())


@worker_ready.connect
def ask(**_):
    order.delay()
    case.ready_when(workers.is_held, says=lambda: [workers.held()], held_for=1.0)


app.worker_main(["worker", "--concurrency", "2", "--loglevel", "ERROR", "-Q", QUEUE, "--without-gossip"])
