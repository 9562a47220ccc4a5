"""A pool of processes none of whose calls ends.

forked: both processes want a lock that another thread held when they were forked. one: so does one
of them, and the other has nothing to do. retired: the only process has done as many calls as it may,
and no other takes its place. stopped: a signal has stopped the only one. silent: one of two waits for
a server that says nothing.

The healthy twin computes in both processes and sleeps in them, and has more calls than processes.
"""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import socket
import sys

import stage
from children import FUTEX, RECVFROM, call_of, compute, end_with, hold_lock, lock


def forked(number):
    with lock:  # culprit_forked
        return number


def silent(server):
    with socket.create_connection(server) as connection:
        return connection.recv(100)  # culprit_silent


def stopped(_):
    os.kill(os.getpid(), signal.SIGSTOP)  # culprit_stopped


def retired(_):
    return os.getpid()


async def handler(pool, function, argument):
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(pool, function, argument)  # waiting
        if function is retired:
            return


def in_call(pool, number):
    return sum(call_of(pid) == number for pid in list(pool._processes or ()))


def is_deserted(pool):
    """Whether no process is left, and the thread that would start one sleeps."""
    manager = pool._executor_manager_thread
    left = pool._processes
    return left is not None and not left and stage.syscall(manager.native_id) != "running"


def state_of(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rsplit(")", 1)[1].split()[0]


async def main():
    kind = stage.kind or "forked"
    method = "spawn" if kind == "retired" else "fork"
    options = {
        "mp_context": multiprocessing.get_context(method),
        "initializer": end_with,
        "initargs": (os.getpid(),),
    }
    if kind == "retired":
        sys.warnoptions.append("ignore")  # what its resource tracker says at the end
        options["max_tasks_per_child"] = 2
    if kind in ("forked", "one") and not stage.healthy:
        hold_lock()
    size = 1 if kind in ("retired", "stopped") else 2
    pool = concurrent.futures.ProcessPoolExecutor(size, **options)
    if stage.healthy:
        tasks = [
            asyncio.create_task(handler(pool, compute, n), name="handler-%d" % n) for n in range(5)
        ]
        stage.when(
            lambda: len(pool._processes or ()) == size,
            also=["executor-saturated", "executor-job-stuck"],
        )
        await asyncio.wait(tasks)
    function = {"one": forked}.get(kind) or globals()[kind]
    calls = 1 if kind in ("one", "silent") else 4
    argument = stage.silent_server() if kind == "silent" else 1
    tasks = [
        asyncio.create_task(handler(pool, function, argument), name="handler-%d" % n)
        for n in range(calls)
    ]
    stage.keep(*tasks)
    if kind == "retired":
        del tasks[:2]  # those it does
    parked = stage.resting({task: "waiting" for task in tasks})
    reached = {
        "forked": lambda: in_call(pool, FUTEX) == 2,
        # The idle one waits for the next call.
        "one": lambda: in_call(pool, FUTEX) == 1,
        "retired": lambda: is_deserted(pool),
        "stopped": lambda: [state_of(pid) for pid in pool._processes] == ["T"],
        "silent": lambda: in_call(pool, RECVFROM) == 1,
    }[kind]
    code = "executor-job-stuck" if calls == 1 else "executor-saturated"
    severity = "warning" if calls == 1 else "critical"
    places = [] if kind == "retired" else ["culprit_forked" if kind == "one" else "culprit_" + kind]
    word = {"retired": "none left", "stopped": "stopped", "silent": "recvfrom"}.get(kind, "fork")
    stage.when(
        lambda: parked() and reached(),
        lambda: [stage.finding(code, severity, tasks, places, word)],
        waiting=lambda: [stage.waits(task, "executor") for task in tasks],
        held_for=stage.STUCK if kind == "silent" else 0.2,
    )
    await asyncio.wait(tasks)


if __name__ == "__main__":
    stage.run(main())
