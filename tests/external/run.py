"""Runs CPython's tests of reading a process from outside on this Python; see scripts/check-external.

    run.py FILE [WORD]

Prints {case: [outcome, why]} as JSON; an outcome is passed, failed, not here or left out.
"""

import asyncio
import ctypes
import dis
import fnmatch
import json
import re
import signal
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

from _remote_debugging import RemoteUnwinder

# What these cases ask for is no matter of aiospy's.
LEFT_OUT = {
    "TestUnsupportedPlatformHandling.*": "other systems",
    "TestDetectionOfThreadStatus.*": "which thread has the GIL, a processor or an exception",
    "TestExceptionDetection*.*": "which thread has an exception",
    "TestFrameCaching.*": "its cache of frames",
    "*.test_only_active_thread": "which thread has the GIL",
    "*.test_tlbc_*": "free-threaded builds",
    "*.test_opcodes_collection": "opcodes",
    "*.test_location_tuple_*": "where an expression ends",
    "*.test_self_trace_after_ctypes_import": "no stack",
}

# The first Python on which the program under test, or the case itself, can run, and why.
NEEDS = {
    "*.test_async_generator_*": ((3, 10), "anext"),
    "*.test_async_global_awaited_by": ((3, 11), "asyncio.TaskGroup"),
    "*_linetable*": ((3, 11), "line tables of such a size"),
    "*.test_async_remote_stack_trace": ((3, 12), "eager tasks"),
    "*.test_async_awaited_by_skips_set_tombstones": ((3, 14), "asyncio.future_add_to_awaited_by"),
    "*subinterpreter*": ((3, 14), "concurrent.interpreters"),
}


PR_SET_PDEATHSIG = 1
SAID = tempfile.TemporaryFile()  # by the programs under test, in one case


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Popen(subprocess.Popen):
    """As the cases start their programs, which sleep for hours."""

    def __init__(self, *arguments, **options):
        options = dict({"stdout": SAID, "stderr": SAID}, preexec_fn=end_with_parent, **options)
        super().__init__(*arguments, **options)


def load(file):
    text = Path(file).read_text(encoding="utf-8")
    if sys.version_info < (3, 13):  # where tasks with names of their own are counted too
        text = text.replace('"Task-4"', '"Task-6"')
    if sys.version_info < (3, 9):  # which has no parentheses around the items of `with`
        text = re.sub(r"with \((\n.*?),(\n *)\):",
                      lambda found: "with \\%s \\%s:" % (found[1].replace(",\n", ", \\\n"), found[2]),
                      text, flags=re.S)
    for owner, name, value in [(sys, "_is_gil_enabled", lambda: True), (asyncio, "taskgroups", None)]:
        if not hasattr(owner, name):  # needed to load the file, not by any case that runs here
            setattr(owner, name, value)
    module = types.ModuleType("test_external_inspection")
    module.__file__ = file
    sys.modules[module.__name__] = module
    exec(compile(text, file, "exec"), module.__dict__)
    return module


# --- Where CPython's reader gives up -----------------------------------------------

def assert_whole(self, unwind, limit):
    """A chain that is too deep for CPython's reader is read to its end."""
    unwind()
    dump = RemoteUnwinder.last_dump
    if "waiters" in limit:
        found, links = len(dump["tasks"]), self.TASK_WAITER_WALK_TASKS
    else:
        links = self.FRAME_CHAIN_DEPTH
        found = max(sum(frame["function"] in ("recurse", "chain") for frame in one.get("frames", []))
                    for one in dump.get("tasks", []) + dump.get("threads", []))
    self.assertEqual(found, links + 1)


def assert_line(self, place):
    """The line is right, though its table is too large for CPython's reader."""
    code = sys._getframe(1).f_locals["big"].__code__
    self.assertEqual(getattr(place, "lineno", place), list(dis.findlinestarts(code))[-1][1])


def raise_limits(module):
    module.TestFrameChainLimits._assert_unwinder_limit_error = assert_whole
    module.TestMetadataDegradation.assertIsNone = assert_line


# --- The cases ---------------------------------------------------------------------

def outcome(case, name):
    for pattern, why in LEFT_OUT.items():
        if fnmatch.fnmatchcase(name, pattern):
            return "left out", why
    for pattern, (version, what) in NEEDS.items():
        if fnmatch.fnmatchcase(name, pattern) and sys.version_info < version:
            return "not here", "needs %s" % what
    SAID.seek(0)
    SAID.truncate()
    result = unittest.TestResult()
    case.run(result)
    why = [text for _, text in result.errors + result.failures + result.skipped]
    if not why:
        return "passed", ""
    SAID.seek(0)
    return "failed", "\n".join(why) + SAID.read().decode(errors="replace")


def main():
    end_with_parent()
    file, word = sys.argv[1], "".join(sys.argv[2:])
    subprocess.Popen = Popen
    module = load(file)
    raise_limits(module)
    outcomes = {}
    for suite in unittest.defaultTestLoader.loadTestsFromModule(module):
        for case in suite:
            name = case.id().partition(".")[2]
            if word in name:
                outcomes[name] = outcome(case, name)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
