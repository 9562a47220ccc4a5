"""What CPython's own reader says of another process: `asyncio pstree` before it becomes text.

    awaited_by.py PID [--time RUNS]

To be run by the same Python (3.14 or 3.15) as the process. Prints {"threads": [{"tid", "tasks":
[{"id", "name", "frames": [{"function", "file", "line"}] outermost first, "awaited_by": [{"id",
"frames"}]}]}]}. With --time {"attach_ms", "first_ms", "min_ms", "median_ms", "max_ms", "cpu_ms",
"tasks", "frames", "failed"}: attached once, then RUNS calls.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
import time

import _remote_debugging
from asyncio import tools

parser = argparse.ArgumentParser()
parser.add_argument("pid", type=int)
parser.add_argument("--time", type=int, metavar="RUNS")
options = parser.parse_args()


def frames(stack):
    """3.14 has the line in the frame itself."""
    result = []
    for frame in reversed(stack.call_stack):
        place = getattr(frame, "location", frame)
        line = place and place.lineno
        result.append({"function": frame.funcname, "file": frame.filename, "line": line})
    return result


def describe(task):
    assert len(task.coroutine_stack) <= 1, task
    return {
        "id": hex(task.task_id),
        "name": task.task_name,
        "frames": [frame for stack in task.coroutine_stack for frame in frames(stack)],
        "awaited_by": [
            # The field that is called the name of the awaiter holds its address.
            {"id": hex(stack.task_name), "frames": frames(stack)}
            for stack in task.awaited_by
        ],
    }


def ms(seconds):
    return round(seconds * 1000, 3)


def measure(runs):
    start = time.monotonic()
    unwinder = _remote_debugging.RemoteUnwinder(options.pid, all_threads=True)
    attach = time.monotonic() - start
    times = []
    cpu = []
    failed = 0
    tasks = []
    while len(times) <= runs:
        start = time.monotonic()
        start_cpu = time.process_time()
        try:
            found = unwinder.get_all_awaited_by()
        except (RuntimeError, OSError, UnicodeDecodeError, MemoryError):  # asyncio.tools' list
            failed += 1
            assert failed < 1000
            continue
        times.append(time.monotonic() - start)
        cpu.append(time.process_time() - start_cpu)
        tasks = [task for thread in found for task in thread.awaited_by]
    first = times.pop(0)
    times.sort()
    cpu.sort()
    return {
        "attach_ms": ms(attach),
        "first_ms": ms(first),
        "min_ms": ms(times[0]),
        "median_ms": ms(times[len(times) // 2]),
        "max_ms": ms(times[-1]),
        "cpu_ms": ms(cpu[len(cpu) // 2]),
        "tasks": len(tasks),
        "frames": sum(len(s.call_stack) for task in tasks for s in task.coroutine_stack),
        "failed": failed,
    }


if options.time:
    result = measure(options.time)
else:
    result = {
        "threads": [
            {"tid": thread.thread_id, "tasks": [describe(task) for task in thread.awaited_by]}
            for thread in tools.get_all_awaited_by(options.pid)
        ]
    }
print(json.dumps(result))
