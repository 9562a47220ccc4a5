"""A task waits for the end of a process whose output nobody reads: the pipe is full.

bytedance/SandboxFusion#53.
"""

# wanted: subprocess-stuck
# within: 6

import asyncio
import sys

import case

WRITE = {"1", "64"}  # of x86_64 and of aarch64
PIPE = asyncio.subprocess.PIPE
started = []


async def run_code(source):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=PIPE, stderr=PIPE
    )
    started.append(process)
    await process.wait()  # culprit
    return await process.stdout.read()


def writes():
    with open("/proc/%d/syscall" % started[0].pid) as file:
        return file.read().split()[0] in WRITE


async def main():
    loop = asyncio.get_running_loop()
    source = "import sys; sys.stdout.write('x' * 2000000)"
    task = asyncio.create_task(run_code(source), name="sandbox-run")
    case.ready_when(
        lambda: started and writes() and case.waiting(loop, "culprit") == 1,
        says=lambda: [str(started[0].pid)],
        held_for=0.5,
    )
    await task


asyncio.run(main())
