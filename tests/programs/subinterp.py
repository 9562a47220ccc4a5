"""asyncio tasks in a sub-interpreter's loop, in a thread of its own, and in the main one.

    subinterp.py

Prints {"pid", "python", "interpreters": [the truth of each as in common.py, with "interpreter":
its id]}, or UNSUPPORTED and the reason on a line before it. Before 3.12 the sub-interpreter
runs the pure-Python implementation, as the C one doesn't work there.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import json
import os
import threading

import common
from common import FOREVER, Truth

HERE = os.path.dirname(os.path.abspath(__file__))


# The part that both interpreters run.


async def leaf():
    await asyncio.sleep(FOREVER)  # parked


async def middle():
    await leaf()


async def hold(lock, event):
    async with lock:
        await event.wait()  # parked


async def want(lock):
    async with lock:  # parked
        pass


async def await_gather(tasks):
    await asyncio.gather(*tasks)  # parked


def start(T, prefix):
    T.start(prefix + "_sleeper", middle(), on="timer")
    T.start(prefix + "_child", leaf(), on="timer")
    T.start(prefix + "_parent", await_gather([T[prefix + "_child"]]), on="gather")
    T.awaits(prefix + "_parent", prefix + "_child", via="gather")
    lock, event = asyncio.Lock(), asyncio.Event()
    T.start(prefix + "_holder", hold(lock, event), on="event")
    T.start(prefix + "_waiter", want(lock), on="lock", holders=[prefix + "_holder"])


def run_loop(interpreter, prefix, write):
    """Runs a loop for ever; gives its truth to `write` from a callback, when all is parked."""
    T = Truth("asyncio", "parked")
    T.extra["interpreter"] = interpreter
    T.here = leaf.__code__.co_filename

    def when_parked():
        try:
            step()
        except BaseException:
            common.die()

    def step():
        if T.not_parked(blocking=prefix) is not None:
            asyncio.get_event_loop().call_later(0.001, when_parked)
            return
        write(T.collect())

    async def main():
        loop = asyncio.get_event_loop()
        T.loop(loop, threading.get_native_id())
        T.adopt(prefix + "_main", on="event")
        start(T, prefix)
        loop.call_later(0.001, when_parked)
        await asyncio.Event().wait()  # parked

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main())


def run_in_sub_interpreter(fd):
    """Called there: `fd` is the pipe to the main interpreter."""

    def write(truth):
        os.write(fd, json.dumps(truth).encode() + b"\n")

    run_loop(None, "sub", write)


SCRIPT = """
import sys, traceback
sys.dont_write_bytecode = True
sys.path.insert(0, {here!r})
if sys.version_info < (3, 12):
    # The C module keeps state of its own for all interpreters, such as the running loop by a
    # thread state's id, which is 1 in each: "another loop is running".
    sys.modules["_asyncio"] = None
try:
    import subinterp
    subinterp.run_in_sub_interpreter({fd})
except BaseException as error:
    import os
    os.write({fd}, ("failed: %r\\n" % (error,)).encode())
    traceback.print_exc()
"""


def interpreters():
    """(create, run a script) of this version."""
    try:
        import _interpreters as module  # 3.13+
    except ImportError:
        import _xxsubinterpreters as module
    if hasattr(module, "exec"):
        return module.create, module.exec
    return module.create, module.run_string


def main():
    try:
        create, run = interpreters()
    except ImportError as error:
        print(error)
        print("UNSUPPORTED", flush=True)
        common.watchdog()
        threading.Event().wait()
    reader, writer = os.pipe()
    sub = create()
    script = SCRIPT.format(here=HERE, fd=writer)
    thread = threading.Thread(target=run, args=(sub, script), name="sub-interpreter", daemon=True)

    def with_main_truth(truth):
        truths.append(truth)
        collected.set()

    def start_sub():
        collected.wait()
        thread.start()
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(reader, 1 << 16)
        if not line.startswith(b"{"):
            print(line.decode().strip())
            print("UNSUPPORTED", flush=True)
            return
        truth = json.loads(line.decode())
        truth["interpreter"] = int(sub)
        truths.append(truth)
        for each in truths:
            for described in each["threads"]:
                described.pop("frames", None)
        value = {
            "pid": os.getpid(),
            "python": common.python_version(),
            "interpreters": truths,
        }
        common.emit_ready_when_polling(truth["loops"][0]["thread"], value)

    truths = []
    collected = threading.Event()
    common.watchdog(before=start_sub)
    run_loop(0, "main", with_main_truth)


if __name__ == "__main__":
    main()
