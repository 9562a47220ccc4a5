"""A signal comes while a lock is held, and its handler wants the same lock."""

import asyncio
import os
import signal
import threading

import stage


class Journal:
    def __init__(self):
        self.lock = threading.RLock() if stage.healthy else threading.Lock()
        self.lines = []

    def write(self, text):
        with self.lock:  # culprit
            self.lines.append(text)
            if len(self.lines) == 3:
                os.kill(os.getpid(), signal.SIGUSR1)


async def main():
    journal = Journal()
    signal.signal(signal.SIGUSR1, lambda number, frame: journal.write("reopened"))
    task = asyncio.current_task()
    if stage.healthy:
        stage.when(lambda: len(journal.lines) > 4)
    else:
        stage.when(
            lambda: len(journal.lines) == 3 and stage.stuck("culprit"),
            lambda: [
                stage.finding("loop-self-deadlock", "critical", [task], "culprit", "same stack")
            ],
            also=["loop-blocked"],
        )
    while True:
        journal.write("tick")
        await asyncio.sleep(0.01)


stage.run(main())
