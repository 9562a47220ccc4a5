"""The programs below tests/programs, and what the kernel says of them and of the tool."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from lib.pythons import REPO

PROGRAMS = REPO / "tests/programs"
PATIENCE = 180  # seconds until a program must be ready


class Process:
    """What the kernel says of a process."""

    def __init__(self, pid):
        self.folder = Path("/proc/%d" % pid)

    def memory(self):
        """MiB: all that is resident, and of it what is no file's; None when it has ended."""
        try:
            text = (self.folder / "status").read_text()
        except OSError:
            return None
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if "VmRSS" not in fields:
            return None
        return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))

    def cpu_seconds(self):
        """None when it has ended."""
        try:
            fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Program(Process):
    """A program of tests/programs that has said READY; it is ended with the block."""

    def __init__(self, python, name, *arguments):
        command = [python, PROGRAMS / name, *arguments]
        self.child = subprocess.Popen(
            [str(word) for word in command], cwd=str(REPO),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.child.pid
        super().__init__(self.pid)
        self.pending = b""
        while True:
            line = self.line()
            if line == b"READY":
                break
            self.truth = json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.kill()
        self.child.wait()

    def line(self):
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.child.stdout], [], [], max(0, left))
            data = os.read(self.child.stdout.fileno(), 1 << 16) if readable else b""
            if not data:
                sys.exit("%s said nothing more" % self.child.args)
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def stats(self):
        """What churn.py or echoing.py counted since it was asked last."""
        self.child.stdin.write(b"stats\n")
        self.child.stdin.flush()
        return json.loads(self.line())
