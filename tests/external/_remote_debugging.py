"""Stands in for CPython's reader: asks `aiospy dump --json`, answers as that of 3.14 or 3.15."""

import itertools
import json
import os
import subprocess
import sys
from collections import namedtuple

TOOL = os.environ["AIOSPY"]
IS_314 = os.environ["AIOSPY_TESTS_OF"] == "3.14"
PROCESS_VM_READV_SUPPORTED = True
MAX_TEXT = 1024  # where both cut names; aiospy adds a mark
MAX_TASK_NAME = 255  # where only CPython cuts


def record(name, fields):
    """A named tuple that is made of one sequence, as CPython's are."""
    members = {"__slots__": (), "__new__": lambda cls, values: tuple.__new__(cls, values)}
    return type(name, (namedtuple(name, fields),), members)


LocationInfo = record("LocationInfo", "lineno end_lineno col_offset end_col_offset")
FrameInfo = record("FrameInfo", "filename lineno funcname" if IS_314 else "filename location funcname opcode")
CoroInfo = record("CoroInfo", "call_stack task_name")
TaskInfo = record("TaskInfo", "task_id task_name coroutine_stack awaited_by")
AwaitedInfo = record("AwaitedInfo", "thread_id awaited_by")
ThreadInfo = record("ThreadInfo", "thread_id frame_info" if IS_314 else "thread_id status frame_info")
InterpreterInfo = record("InterpreterInfo", "interpreter_id threads")


class Bare(str):
    """A function's name before 3.11, where code has no qualified one as is expected."""

    def __eq__(self, other):
        return str(self) == other.rpartition(".")[2] if isinstance(other, str) else NotImplemented

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


class Beginning(list):
    """A stack that may be longer than expected: 3.14's reader stops at the first call from C."""

    def __eq__(self, other):
        return list(self[:len(other)]) == other

    __hash__ = None


def as_in_314(frames):
    """The same, where the standard library has other functions than the tests expect."""
    if sys.version_info >= (3, 14):
        return frames
    functions = [frame["function"].rpartition(".")[2] for frame in frames]
    if "staggered_race" in functions:  # until 3.13 it awaits asyncio.wait
        frames = [frame for frame, name in zip(frames, functions) if name not in ("wait", "_wait")]
    if "__aexit__" in functions and "_aexit" not in functions:  # at first they are one
        at = functions.index("__aexit__")
        if frames[at]["function"] == "TaskGroup.__aexit__":
            frames.insert(at + 1, dict(frames[at], function="TaskGroup._aexit"))
    return frames


def stack(frames):
    """Innermost first, without this file's, which are there when a process reads itself."""
    frames = list(itertools.takewhile(lambda frame: frame["file"] != __file__, frames))
    found = []
    for frame in reversed(as_in_314(frames)):
        line, name = frame.get("line"), frame["function"][:MAX_TEXT]
        if sys.version_info < (3, 11):
            name = Bare(name.rpartition(".")[2])
        if IS_314:
            rest = [line, name]
        else:
            rest = [LocationInfo([line, None, frame.get("column"), None]), name, None]
        found.append(FrameInfo([frame["file"][:MAX_TEXT]] + rest))
    return found


class RemoteUnwinder:
    last_dump = None

    def __init__(self, pid, **_options):
        self.pid = pid

    def _dump(self, *options):
        # What stands still needs no second sample; a debug build takes its time for 16,384 tasks.
        done = subprocess.run(
            [TOOL, "dump", str(self.pid), "--json", "--looks", "1", "--timeout", "60s", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = done.stderr.decode()
        if said.startswith("aiospy: no process"):
            raise ProcessLookupError(said)
        # Not a RuntimeError: then some tests would try again.
        assert done.stdout, said
        dump = json.loads(done.stdout.decode())
        problems = [problem["cause"] for problem in dump.get("problems", [])]
        is_without = [cause.endswith("has not imported asyncio") for cause in problems]
        assert all(is_without) if "--threads" in options else not problems, problems
        RemoteUnwinder.last_dump = dump
        return dump

    def _tasks(self):
        """The dump's tasks, and for each its thread and TaskInfo."""
        dump = self._dump()
        threads = {loop["id"]: loop.get("thread", 0) for loop in dump["loops"]}
        tasks = {task["id"]: task for task in dump["tasks"]}
        stacks = {number: stack(task.get("frames", [])) for number, task in tasks.items()}
        infos = {}
        for number, task in tasks.items():
            # What eager tasks are called in 3.13.0.
            name = "Task-1" if task["name"] == "None" else task["name"][:MAX_TASK_NAME]
            awaited_by = [CoroInfo([stacks[by], by]) for by in task.get("awaited_by", [])]
            info = TaskInfo([number, name, [CoroInfo([stacks[number], number])], awaited_by])
            infos[number] = (threads[task["loop"]], info)
        return tasks, infos

    def get_all_awaited_by(self):
        _, infos = self._tasks()
        by_thread = {}
        for thread, info in infos.values():
            by_thread.setdefault(thread, []).append(info)
        without = by_thread.pop(0, [])
        return [AwaitedInfo(pair) for pair in [*by_thread.items(), (0, without)]]

    def get_async_stack_trace(self):
        """Each running task with all that wait for it."""
        tasks, infos = self._tasks()
        found = []
        for running in [number for number, task in tasks.items() if task["state"] == "running"]:
            reached, left = {}, [running]
            while left:
                number = left.pop()
                if number not in reached:
                    reached[number] = infos[number][1]
                    left += tasks[number].get("awaited_by", [])
            found.append(AwaitedInfo([infos[running][0], list(reached.values())]))
        assert found, "no task runs"
        return found

    def get_stack_trace(self):
        by_interpreter = {}
        for thread in self._dump("--threads")["threads"]:
            frames = stack(thread.get("frames", []))
            info = [thread["tid"], Beginning(frames)] if IS_314 else [thread["tid"], 0, frames]
            by_interpreter.setdefault(thread.get("interpreter", 0), []).append(ThreadInfo(info))
        if IS_314:
            return [thread for threads in by_interpreter.values() for thread in threads]
        return [InterpreterInfo(pair) for pair in by_interpreter.items()]
