"""A task waits for a child process that cannot go on.

wait: it waits for the end of one whose output nobody reads. stderr: it reads the one pipe while the
other one is full. drain: it gives it more to read, while its output is full. shell: the same as the
first with a process below the child. kept: the object of the process has an attribute of something
that lives on, so that somebody may read; after 5 s it is a warning all the same. held: the child has
ended and has left a process behind that has its output open.

uvloop: the same as the first, on uvloop.

The healthy twin reads what its child writes, slowly.
"""

import asyncio
import sys

import stage

PIPE = asyncio.subprocess.PIPE
# Each child ends by itself when its standard input does, or with the signal.
END = "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, 9); signal.alarm(120); "
WRITES = END + "sys.stdout.write('x' * 2_000_000)"
WRITES_ERRORS = END + "sys.stderr.write('x' * 2_000_000)"
ECHOES = END + "[sys.stdout.write(line) for line in sys.stdin]"
kept = {}


async def wait(command=(sys.executable, "-c", WRITES)):
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    await process.wait()  # culprit_wait
    return await process.stdout.read()


async def shell():
    await wait(("sh", "-c", '"$0" -c "$1"; true', sys.executable, WRITES))


async def stderr():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITES_ERRORS, stdout=PIPE, stderr=PIPE
    )
    out = await process.stdout.read()  # culprit_stderr
    return out, await process.stderr.read()


async def drain():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ECHOES, stdin=PIPE, stdout=PIPE
    )
    while True:
        process.stdin.write(b"%0999d\n" % 1)
        await process.stdin.drain()  # culprit_drain


async def keep():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITES, stdout=PIPE)
    kept["process"] = process
    await process.wait()  # culprit_kept


async def held():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAVES, stdout=PIPE
    )
    return await process.stdout.read()  # culprit_held


async def relay():
    """Takes a line from time to time; meanwhile its child waits."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", END + "[print('x' * 9999) for _ in range(10**9)]", stdout=PIPE
    )
    ended = asyncio.create_task(process.wait(), name="ended")
    for _ in range(10**9):
        await process.stdout.readline()
        await asyncio.sleep(0.01)
    await ended


# Ends at once and leaves one behind, which lives until the standard input of us all ends.
LEAVES = "import os; os.fork() or os.read(0, 1)"


async def main():
    kind = stage.kind or "wait"
    if stage.healthy:
        tasks = [asyncio.create_task(relay(), name="relay-%d" % n) for n in range(3)]
        stage.when(lambda: True, also=["subprocess-stuck"])
        await asyncio.wait(tasks)
    function = {"kept": keep, "uvloop": wait}.get(kind) or globals()[kind]
    task = asyncio.create_task(function(), name="run")
    mark = "culprit_" + ("wait" if kind in ("shell", "uvloop") else kind)
    parked = stage.resting({task: mark})
    word = {"stderr": "stderr", "held": "has ended"}.get(kind, "stdout")
    stage.when(
        parked,
        lambda: [stage.finding("subprocess-stuck", "warning", [task], mark, word)],
        held_for=stage.STUCK if kind == "kept" else 1.5,
    )
    await task


stage.options.uvloop |= stage.kind == "uvloop"
stage.run(main())
