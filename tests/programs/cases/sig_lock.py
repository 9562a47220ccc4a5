"""A signal's handler wants a lock that the code it interrupted holds, on the same thread.

patroni/patroni#3413, python/cpython#88105.
"""

# wanted: loop-self-deadlock
# says: on_usr1 write
# within: 2

import asyncio
import os
import signal
import threading

import case


class Journal:
    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []

    def write(self, line):
        with self.lock:  # culprit
            self.lines.append(line)
            if len(self.lines) == 20:
                os.kill(os.getpid(), signal.SIGUSR1)  # comes at a bad moment
            self.lines[-1] += "."


journal = Journal()


def on_usr1(number, frame):
    journal.write("reopen")


async def main():
    signal.signal(signal.SIGUSR1, on_usr1)
    case.ready_when(lambda: case.within("on_usr1") and case.stuck("culprit"))
    while True:
        journal.write("tick")
        await asyncio.sleep(0.01)


asyncio.run(main())
