"""A Python process that has never heard of asyncio. Runs on Python 2.7 too."""

import os
import sys
import threading
import time


def watch():
    while os.read(0, 4096):
        pass
    os._exit(0)


def inner():
    for call, argument in ((ready, None), (time.sleep, 3600)):
        call(argument)


def ready(_):
    assert "asyncio" not in sys.modules
    functions = '["<module>", "outer", "inner"]'
    sys.stdout.write('{{"pid": {}, "functions": {}}}\n'.format(os.getpid(), functions))
    sys.stdout.write("READY\n")
    sys.stdout.flush()


def outer():
    inner()


thread = threading.Thread(target=watch, name="watchdog")
thread.daemon = True
thread.start()
outer()
