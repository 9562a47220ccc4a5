"""One of two workers of gunicorn is held by a blocking call in an endpoint.

benoitc/gunicorn#3347, encode/uvicorn#411. It is the master's id that somebody asks about.
"""

# packages: gunicorn==23.0.0 uvicorn uvicorn-worker==0.4.0
# versions: 3.11 3.13
# wanted: loop-blocked
# within: 3

import os
import signal
import socket
import threading

import case
import workers
from gunicorn.app.base import BaseApplication

reads, writes = os.pipe()  # the worker says through it who it is


def lookup():
    left, right = socket.socketpair()
    case.keep(right)
    os.write(writes, b"%d" % os.getpid())
    return left.recv(10)  # culprit


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    lookup()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def visit(address):
    connection = socket.create_connection(address)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    case.keep(connection)
    pid = os.read(reads, 20).decode()
    case.ready_when(lambda: workers.receives(pid), says=lambda: [pid])


def when_ready(arbiter):
    address = arbiter.LISTENERS[0].sock.getsockname()
    threading.Thread(target=visit, args=(address,), daemon=True).start()


class Service(BaseApplication):
    def load_config(self):
        options = {
            "bind": "127.0.0.1:0",
            "workers": 2,
            "worker_class": "uvicorn_worker.UvicornWorker",
            "timeout": 1000,
            "loglevel": "error",
            "post_fork": lambda arbiter, worker: signal.alarm(case.ALARM),
            "when_ready": when_ready,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self):
        return app


Service().run()
