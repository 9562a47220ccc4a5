"""Traces all threads of a process: tracer.py PID run|stop. READY when it does."""

import sys

sys.dont_write_bytecode = True

import ctypes
import os

SEIZE, INTERRUPT = 0x4206, 0x4207
ALL = 0x40000000  # __WALL: threads that are not the main thread too

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid):
    if libc.ptrace(request, tid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


for tid in map(int, os.listdir("/proc/{}/task".format(sys.argv[1]))):
    ptrace(SEIZE, tid)
    if sys.argv[2] == "stop":
        ptrace(INTERRUPT, tid)
        os.waitpid(tid, ALL)
print("READY", flush=True)
# The kernel lets the target go on when its tracer ends.
while os.read(0, 4096):
    pass
