"""A process without an event loop of its own, above others that have one, as servers' masters are.

`spawn`, `fork`, `forkserver`  by `multiprocessing`: two children with a loop, one without
`control`                      the same by `fork`, and a loop that serves gunicorn's control socket
`blocked`                      by `fork`: two children whose loops are blocked, one whose is not
`hung`                         by `fork`: one child whose loop is blocked, two whose is not
`refusing`                     by `fork`: three children with a loop, one of which may not be read
`coming`                       by `fork`: three children with a loop, and others that end at once
`late`                         by `fork`: three children with a loop, one of which ends late
`growing`                      by `fork`: two children with a loop, one without; one more with a loop,
                               whose id it prints, for each line that it is given
`many`                         by `fork`: so many children with a loop as `--workers` says
`alone`                        a process without children

Each child ends with the parent: it reads from a pipe that the parent alone can write to.
"""

import argparse
import asyncio
import ctypes
import multiprocessing
import os
import sys
import threading
import time

import common

# What gunicorn's thread for its control socket runs, by the name of its file.
CONTROL = """
async def serve(started):
    started.set()
    await asyncio.sleep(common.FOREVER)
"""
LATE = 5  # seconds that one child lives on
ours = None


def end_with_the_parent(alive):
    if ours is not None:
        ours.close()
    threading.Thread(target=lambda: (alive.poll(None), os._exit(0)), daemon=True).start()


def idle(alive, ready):
    end_with_the_parent(alive)
    ready.send(os.getpid())
    threading.Event().wait()


def looping(alive, ready):
    async def main():
        ready.send(os.getpid())
        await asyncio.sleep(common.FOREVER)

    end_with_the_parent(alive)
    asyncio.run(main())


def late(alive, ready):
    async def main():
        ready.send(os.getpid())
        await asyncio.sleep(common.FOREVER)

    if ours is not None:
        ours.close()
    end = lambda: (alive.poll(None), time.sleep(LATE), os._exit(0))
    threading.Thread(target=end, daemon=True).start()
    asyncio.run(main())


def refused(alive, ready):
    PR_SET_DUMPABLE = 4
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError("prctl")
    looping(alive, ready)


def come_and_go():
    """Has children all the time that end before one knows it."""

    def run():
        while True:
            child = os.fork()
            if child == 0:
                time.sleep(0.003)
                os._exit(0)
            os.waitpid(child, 0)

    threading.Thread(target=run, daemon=True).start()


def blocked(alive, ready):
    async def main():
        ready.send(os.getpid())
        threading.Event().wait()  # blocked

    end_with_the_parent(alive)
    asyncio.run(main())


def serve_control():
    names = {"asyncio": asyncio, "common": common}
    sys.path.append("/nowhere/site-packages")  # as if it were installed there
    exec(compile(CONTROL, "/nowhere/site-packages/gunicorn/ctl/server.py", "exec"), names)
    started = threading.Event()
    threading.Thread(target=lambda: asyncio.run(names["serve"](started)), daemon=True).start()
    started.wait()


def children(method):
    global ours
    context = multiprocessing.get_context(method)
    alive, ours = context.Pipe(duplex=False)
    here, ready = context.Pipe(duplex=False)
    pids = {}
    first = blocked if kind in ("blocked", "hung") else looping
    second = blocked if kind == "blocked" else looping
    others = {"refusing": refused, "blocked": looping, "hung": looping, "coming": looping, "late": late}
    third = others.get(kind, idle)
    if kind == "growing":
        grow.context, grow.alive, grow.pipe = context, alive, (here, ready)
    all_of_them = [("first", first), ("second", second), ("idle", third)]
    if kind == "many":
        all_of_them = [(str(number), looping) for number in range(arguments.workers)]
    for name, run in all_of_them:
        context.Process(target=run, args=(alive, ready), daemon=True).start()
        pids[name] = here.recv()
    return pids


def grow(line):
    here, ready = grow.pipe
    grow.context.Process(target=looping, args=(grow.alive, ready), daemon=True).start()
    print(here.recv(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    kind = arguments.kind
    common.watchdog(on_line=grow)
    by_method = kind in ("spawn", "fork", "forkserver")
    pids = {} if kind == "alone" else children(kind if by_method else "fork")
    if kind == "control":
        serve_control()
    if kind == "coming":
        come_and_go()
    if kind in ("blocked", "hung"):
        time.sleep(0.2)  # from then on they have been so for long enough
    common.emit_ready({"children": pids})
    threading.Event().wait()
