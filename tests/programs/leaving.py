"""Processes that go away while they are looked at, one after the other.

    leaving.py [--tasks N]

For each line "HOW DELAY_US" on stdin it forks a child: an asyncio program with N parked tasks
that prints {"pid", "tasks"} and READY, and leaves DELAY_US microseconds later.
exit: os._exit; kill: SIGKILL; clean: main returns, asyncio cancels all tasks and the
interpreter is finalized; crash: an exception leaves main; exec: the same PID becomes plain.py;
stay: never. A line "reap" ends the child that is left and takes it off the list of processes;
until then one that has ended is a zombie. "ended" first waits for its end. Both are answered by
a line of the same words.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import os
import signal

import common
from common import FOREVER

parser = argparse.ArgumentParser()
parser.add_argument("--tasks", type=int, default=30)
options = parser.parse_args()


async def leaf():
    await asyncio.sleep(FOREVER)


async def outer():
    await leaf()


def leave(how, leaving):
    if how == "exit":
        os._exit(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exec":
        plain = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plain.py")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, [sys.executable, plain])
    leaving.set()


async def main(how, delay):
    loop = asyncio.get_event_loop()
    leaving = asyncio.Event()
    tasks = [loop.create_task(outer(), name="task-{}".format(n)) for n in range(options.tasks)]
    while any(task._fut_waiter is None for task in tasks):
        await asyncio.sleep(0)
    # Standard input ends with the parent.
    loop.add_reader(0, os._exit, 0)
    common.emit_ready({"pid": os.getpid(), "tasks": options.tasks + 1})
    if how != "stay":
        loop.call_later(delay, leave, how, leaving)
    await leaving.wait()
    if how == "crash":
        raise SystemExit(3)


def start(how, delay):
    """The child's pid, and the pipe that tells it of our end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(read)
        return pid, write
    os.close(write)
    os.dup2(read, 0)
    os.close(read)
    common.run("asyncio", main(how, delay))
    sys.exit(0)


child = pipe = None
common.ready()
for line in iter(sys.stdin.readline, ""):
    words = line.split()
    if words == ["ended"]:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    elif words == ["reap"]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(pipe)
    else:
        child, pipe = start(words[0], int(words[1]) / 1e6)
        continue
    common.emit(words)
