"""What the tests and their targets use of CPython's package `test`, which not every Python has.

The module is all of that package's modules at once.
"""

import contextlib
import importlib
import os
import socket
import sys
import tempfile
import time

SHORT_TIMEOUT = 30.0

import_module = importlib.import_module
temp_dir = tempfile.TemporaryDirectory


def busy_retry(timeout, err_msg=None, *, error=True):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        yield
        time.sleep(0.02)
    if error:
        raise AssertionError(err_msg or "timed out")


def find_unused_port():
    with contextlib.closing(socket.socket()) as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def make_script(folder, name, source):
    path = os.path.join(folder, name + ".py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(source)
    return path


def requires_gil_enabled(_reason):
    return lambda test: test


def requires_remote_subprocess_debugging():
    return lambda test: test


for name in ["support", "os_helper", "import_helper", "script_helper", "socket_helper"]:
    sys.modules["test.support." + name] = globals()[name] = sys.modules[__name__]
sys.modules["test.support"] = sys.modules[__name__]
