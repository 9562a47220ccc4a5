"""Thread and process pools with running and queued calls, and threads that wait for each other.

    executors.py [--loop asyncio|uvloop]

Prints one line of JSON, all true by construction:
  pools: [{at, prefix, max_workers, shut_down, workers: {tid: function or null}, queued: [function],
           pids}]; a process pool has pids, which are null for others, and submitted: the functions
           of which at least two count as running, instead of queued
  calls: [{task, future, source, state, function, tid}]: a task, the asyncio future it waits for,
         the concurrent future behind it, and the thread that runs its call, or null
  owed: {task: concurrent future} for tasks of run_coroutine_threadsafe
  waits: {tid: {kind, at, ...}} of threads, null for one that waits for nothing
  default: {loop: executor}
and then READY. All pending calls wait for an event that never comes.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import multiprocessing
import os
import queue
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import common
from common import FOREVER, GIVE_UP, address

parser = argparse.ArgumentParser()
parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
options = parser.parse_args()

never = threading.Event()
started = {}  # function name -> thread id
futures = {}  # function name -> concurrent future
names = {}  # concurrent future -> function name


def job(name, forever=True):
    """A function of this name that says on which thread it runs."""

    def function(*_, **__):
        started[name] = threading.get_native_id()
        if forever:
            never.wait()

    function.__qualname__ = name
    return function


def remember_submits():
    """From now on every call given to a thread pool is noted, by the name it has here."""
    submit = ThreadPoolExecutor.submit

    def remembering(self, fn, *args, **kwargs):
        future = submit(self, fn, *args, **kwargs)
        name = name_of(fn, args)
        futures[name], names[future] = future, name
        return future

    ThreadPoolExecutor.submit = remembering


def name_of(fn, args):
    while True:
        if isinstance(fn, functools.partial):
            fn, args = fn.func, fn.args + args
        elif type(getattr(fn, "__self__", None)) is contextvars.Context:
            fn, args = args[0], args[1:]
        else:
            return fn.__qualname__


def end_with(parent):
    """In a pool's process, which would outlive its parent."""

    def run():
        while os.getppid() == parent:
            time.sleep(0.05)
        os._exit(0)

    threading.Thread(target=run, daemon=True).start()


def hold_process():
    time.sleep(FOREVER)


def wait_until(what, is_so):
    give_up = time.monotonic() + GIVE_UP
    while not is_so():
        assert time.monotonic() < give_up, what
        time.sleep(0.001)


async def wait_async(what, is_so):
    give_up = time.monotonic() + GIVE_UP
    while not is_so():
        assert time.monotonic() < give_up, what
        await asyncio.sleep(0.001)


# --- threads that wait ----------------------------------------------------------------------

waits = {}


def waiter(kind, call, file, function, **known):
    """A thread in `call()`, told to wait when `function` of `file` is its innermost frame."""
    thread = threading.Thread(target=call, name=kind, daemon=True)
    thread.start()

    def is_there():
        frame = sys._current_frames().get(thread.ident)
        if frame is None:
            return False
        code = frame.f_code
        return code.co_filename.endswith(file) and code.co_name == function

    wait_until("{} does not wait".format(kind), is_there)
    waits[thread.native_id] = dict(known, kind=kind)
    return thread


def start_waiters(future):
    other = concurrent.futures.Future()
    done = concurrent.futures.Future()
    done.set_result(None)
    pending = sorted([address(future), address(other)])
    threading_wait = ("threading.py", "wait")
    waiter("future", future.result, *threading_wait, at=address(future))
    waiter("exception", lambda: future.exception(FOREVER), *threading_wait, at=address(future))
    group = [done, future, other]
    waiter("futures", lambda: concurrent.futures.wait(group), *threading_wait, futures=pending)
    waiter(
        "as-completed",
        lambda: list(concurrent.futures.as_completed(group)),
        *threading_wait,
        futures=pending
    )
    event = threading.Event()
    thread = waiter("event", event.wait, *threading_wait, at=address(event))
    # Up to 3.12 with a frame of its own below.
    innermost = "join" if sys.version_info >= (3, 13) else "_wait_for_tstate_lock"
    waiter("join", thread.join, "threading.py", innermost, at=address(thread), ident=thread.ident)
    condition = threading.Condition()

    def in_condition():
        with condition:
            condition.wait()

    waiter("condition", in_condition, *threading_wait, at=address(condition))
    semaphore = threading.Semaphore(0)
    waiter("semaphore", semaphore.acquire, *threading_wait, at=address(semaphore))
    barrier = threading.Barrier(2)
    waiter("barrier", barrier.wait, *threading_wait, at=address(barrier))
    empty, full = queue.Queue(), queue.Queue(1)
    full.put(None)
    waiter("queue-get", empty.get, *threading_wait, at=address(empty))
    waiter("queue-put", lambda: full.put(None), *threading_wait, at=address(full))
    waiter("queue-join", full.join, *threading_wait, at=address(full))
    # Not in a wait of the library: a user's function of the same name.
    waiter("none", wait, "executors.py", "wait")
    return [other, event, thread, condition, semaphore, barrier, empty, full, group]


def wait():
    while True:
        time.sleep(FOREVER)


# --- pools ------------------------------------------------------------------------------------


async def run_call(loop, executor, how, name):
    function = job(name)
    if how == "to_thread" and hasattr(asyncio, "to_thread"):
        future = asyncio.to_thread(function, 1, key=2)
    elif how in ("to_thread", "context"):
        future = loop.run_in_executor(executor, contextvars.copy_context().run, function, 1)
    elif how == "partial":
        inner = functools.partial(functools.partial(function, 1), key=2)
        future = loop.run_in_executor(executor, inner)
    elif how == "wrap":
        future = asyncio.wrap_future(executor.submit(function))
    else:
        future = loop.run_in_executor(executor, function)
    del executor  # it is not this task that keeps it
    await future


async def main():
    try:
        await bring_about()
    except BaseException:
        common.die()  # the pools would hold the process


async def bring_about():
    loop = asyncio.get_event_loop()
    tasks = {}

    async def start(executor, name, how="plain", is_running=True):
        task = loop.create_task(run_call(loop, executor, how, name))
        tasks[name] = task
        await wait_async(name, lambda: name in futures and task._fut_waiter is not None)
        if is_running:
            await wait_async(name, lambda: name in started)

    # A process pool first: it forks.
    processes = concurrent.futures.ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("fork"),
        initializer=end_with,
        initargs=(os.getpid(),),
    )
    of_processes = [processes.submit(hold_process)]
    await wait_async("process", of_processes[0].running)
    # Some more are handed on to the pipe of the processes, and count as running.
    of_processes += [processes.submit(hold_process) for _ in range(4)]
    await wait_async("pipe", of_processes[1].running)
    common.watchdog()
    remember_submits()

    # The default executor: 20 calls have gone through its queue, 3 run, 12 wait.
    default = ThreadPoolExecutor(3, thread_name_prefix="default-pool")
    loop.set_default_executor(default)
    for n in range(20):
        await loop.run_in_executor(None, job("quick", forever=False))
    await start(None, "plain")
    await start(None, "in-thread", "to_thread")
    await start(None, "in-partial", "partial")
    queued = ["queued-{}".format(n) for n in range(12)]
    for name in queued:
        how = "to_thread" if name == "queued-3" else "plain"
        await start(None, name, how, is_running=False)

    # One with a thread that waits for work.
    half_idle = ThreadPoolExecutor(2, thread_name_prefix="half-idle")
    await start(half_idle, "wrapped", "wrap")
    await loop.run_in_executor(half_idle, job("short", forever=False))

    # One with a queue written in Python.
    slow_queue = ThreadPoolExecutor(1, thread_name_prefix="slow-queue")
    slow_queue._work_queue = queue.Queue()
    await start(slow_queue, "by-queue", "context")
    await start(slow_queue, "by-queue-next", is_running=False)

    # One that takes no more calls.
    shut = ThreadPoolExecutor(1, thread_name_prefix="shut")
    await start(shut, "last")
    shut.shutdown(wait=False)

    # One that nobody has any more: its thread works on.
    lost = ThreadPoolExecutor(1, thread_name_prefix="lost")
    await start(lost, "forgotten")
    await start(lost, "forgotten-next", is_running=False)
    lost_queue, lost_reference = lost._work_queue, weakref.ref(lost)
    del lost
    gc.collect()
    assert lost_reference() is None, gc.get_referrers(lost_reference())

    async def owing():
        await asyncio.sleep(FOREVER)

    threadsafe = asyncio.run_coroutine_threadsafe(owing(), loop)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    owing_task = [t for t in common.all_tasks(loop) if t.get_coro().__qualname__.endswith("owing")]
    assert len(owing_task) == 1
    kept = await loop.run_in_executor(ThreadPoolExecutor(1), start_waiters, threadsafe)

    def pool(at, prefix, size, busy, waiting=(), idle=0, shut_down=False, pids=None):
        workers = sorted(
            (t.native_id, None)
            for t in threading.enumerate()
            if prefix and t.name.startswith(prefix + "_")
        )
        workers = dict(workers)
        for name in busy:
            workers[started[name]] = name
        assert list(workers.values()).count(None) == idle, (prefix, workers)
        return {
            "at": address(at),
            "prefix": prefix,
            "max_workers": size,
            "shut_down": shut_down,
            "workers": workers,
            "queued": list(waiting),
            "pids": pids,
        }

    pools = [
        pool(default, "default-pool", 3, ["plain", "in-thread", "in-partial"], queued),
        pool(half_idle, "half-idle", 2, ["wrapped"], idle=1),
        pool(slow_queue, "slow-queue", 1, ["by-queue"], ["by-queue-next"]),
        pool(shut, "shut", 1, ["last"], shut_down=True),
    ]
    of_lost = pool(lost_queue, "lost", 1, ["forgotten"], ["forgotten-next"])
    pools.append(dict(of_lost, prefix=None, max_workers=None, shut_down=None))
    pids = [process.pid for process in processes._processes.values()]
    of_process_pool = pool(processes, None, 1, [], pids=pids)
    of_process_pool["submitted"] = ["hold_process"] * len(of_processes)
    del of_process_pool["queued"]
    pools.append(of_process_pool)
    calls = [
        {
            "task": address(task),
            "future": address(task._fut_waiter),
            "source": address(futures[name]),
            "state": futures[name]._state,
            "function": name,
            "tid": started.get(name),
        }
        for name, task in tasks.items()
    ]
    truth = {
        "pid": common.namespace_pid(),
        "pools": pools,
        "calls": calls,
        "owed": {address(owing_task[0]): address(threadsafe)},
        "waits": waits,
        "default": {address(loop): address(default)},
    }
    tid = threading.get_native_id()
    arguments = (tid, truth)
    threading.Thread(target=common.emit_ready_when_polling, args=arguments, daemon=True).start()
    await asyncio.sleep(FOREVER)
    return kept, half_idle, slow_queue, shut, of_processes


common.run(options.loop, main())
