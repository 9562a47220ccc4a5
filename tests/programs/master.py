"""A process without an event loop of its own, above others that have one, as servers' masters are.

`spawn`, `fork`, `forkserver`  by `multiprocessing`: two children with a loop, one without
`control`                      the same by `fork`, and a loop that serves gunicorn's control socket
`alone`                        a process without children

Each child ends with the parent: it reads from a pipe that the parent alone can write to.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import threading

import common

# What gunicorn's thread for its control socket runs, by the name of its file.
CONTROL = """
async def serve(started):
    started.set()
    await asyncio.sleep(common.FOREVER)
"""
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
    for name, run in ("first", looping), ("second", looping), ("idle", idle):
        context.Process(target=run, args=(alive, ready), daemon=True).start()
        pids[name] = here.recv()
    return pids


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    kind = parser.parse_args().kind
    common.watchdog()
    pids = {} if kind == "alone" else children("fork" if kind == "control" else kind)
    if kind == "control":
        serve_control()
    common.emit_ready({"children": pids})
    threading.Event().wait()
