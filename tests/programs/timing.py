"""Works for 5 ms, waits for 15 ms, and so on, and logs that itself.

    timing.py [--uvloop] [--seconds N]

Prints READY when its loop runs, and when it is over one line of JSON: {"busy": the share of the
time that it worked, "work_ms" and "wait_ms": the medians of how long it did either in one go}.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

work, waits = [], []


async def main():
    print("READY", flush=True)
    begin = ended = time.monotonic()
    while ended - begin < options.seconds:
        await asyncio.sleep(0.015)
        began = time.monotonic()
        while time.monotonic() - began < 0.005:
            pass
        waits.append(began - ended)
        ended = time.monotonic()
        work.append(ended - began)


parser = argparse.ArgumentParser()
parser.add_argument("--uvloop", action="store_true")
parser.add_argument("--seconds", type=float, default=10)
options = parser.parse_args()
common.watchdog()
common.run("uvloop" if options.uvloop else "asyncio", main())
told = {
    "busy": sum(work) / (sum(work) + sum(waits)),
    "work_ms": 1000 * statistics.median(work),
    "wait_ms": 1000 * statistics.median(waits),
}
print(json.dumps(told), flush=True)
