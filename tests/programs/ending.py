"""A Python that is held in the midst of its end, with three tasks that nobody cancelled.

    ending.py atexit|main|builtins|exit

It comes to rest, until stdin ends: atexit: in an exit function, before anything is taken down;
main: in the destructor of an object of this module; builtins: in that of the last module there
is; exit: in an exit function of the C library, when nothing of Python is left.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import atexit
import builtins
import ctypes
import os

AT = sys.argv[1]


async def outer():
    await asyncio.sleep(10**6)


def rest(write=os.write, read=os.read):
    write(1, b"READY\n")
    while read(0, 4096):
        pass


class Rest:
    def __del__(self, rest=rest):
        rest()


loop = asyncio.new_event_loop()
TASKS = [loop.create_task(outer(), name="left-{}".format(n)) for n in range(3)]
loop.run_until_complete(asyncio.sleep(0))
loop.set_exception_handler(lambda *_: None)  # nothing on stderr about tasks left behind

if AT == "atexit":
    atexit.register(rest)
elif AT == "main":
    REST = Rest()
elif AT == "builtins":
    builtins.REST = Rest()
else:
    libc = ctypes.CDLL(None)
    libc.strdup.restype = ctypes.c_void_p
    libc.__cxa_atexit.argtypes = [ctypes.c_void_p] * 3

    def at_exit(function, argument):
        libc.__cxa_atexit(ctypes.cast(function, ctypes.c_void_p), argument, None)

    at_exit(libc.getchar, None)
    at_exit(libc.system, libc.strdup(b"echo READY"))  # the last one is the first to be called
