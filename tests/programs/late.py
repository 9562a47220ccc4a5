"""A timer is due while a callback holds the loop: the loop is late.

`late.py [--loop asyncio|uvloop]`; the truth is {"pid", "due"}: when the timer is due, in
seconds of CLOCK_MONOTONIC. A cancelled timer is due earlier and must not count.
"""

import argparse
import asyncio
import json
import time

import common


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
    options = parser.parse_args()
    if options.loop == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    common.watchdog()

    def block():
        loop.call_later(0.01, print).cancel()
        loop.call_later(60.0, print)
        now = time.monotonic()
        timer = loop.call_later(0.05, print)
        # uvloop counts from its cached time and in whole milliseconds.
        due = timer.when() if hasattr(timer, "when") else now + 0.05
        print(json.dumps({"pid": common.os.getpid(), "due": due}), flush=True)
        print("READY", flush=True)
        time.sleep(common.FOREVER)

    loop.call_soon(block)
    loop.run_forever()


main()
