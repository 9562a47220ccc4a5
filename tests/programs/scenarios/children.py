"""What the programs with processes of their own share: functions that these run, and what they are in."""

import ctypes
import os
import signal
import threading
import time

import stage

# System calls by their numbers.
FUTEX = {"x86_64": "202", "aarch64": "98"}[os.uname().machine]
READ = {"x86_64": "0", "aarch64": "63"}[os.uname().machine]
RECVFROM = {"x86_64": "45", "aarch64": "207"}[os.uname().machine]

lock = threading.Lock()
_quiet = threading.Event()


def _flush():
    with lock:
        _quiet.wait()


def hold_lock():
    """A thread takes the lock, for good."""
    threading.Thread(target=_flush, name="metrics", daemon=True).start()
    while not lock.locked():
        time.sleep(0.01)


def end_with(parent):
    """The initializer of a process that ends with its parent."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: at the end of its thread
    if os.getppid() != parent:
        os._exit(0)


def compute(number):
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        number += 1
    time.sleep(0.02)
    return number


def call_of(pid):
    """The number of the system call that the main thread of a process is in."""
    return stage.syscall(pid, pid)
