"""What the target programs share: the watchdog, the truth about tasks, and the way it is printed.

A target program brings itself into a known state, prints one line of JSON (the truth: what
a reader of its memory has to find) and then the line READY. It ends when its stdin does.

Runs unchanged on CPython 3.8 to 3.15, with the standard library only (uvloop if present).
"""

import asyncio
import fcntl
import gc
import itertools
import json
import linecache
import os
import sys
import threading
import time
import traceback
import types
import warnings

warnings.simplefilter("ignore")  # a target must not write to stderr in the good case

FOREVER = 10**6  # seconds; longer than any test
PARKED = "# parked"  # comment on each line where a task is meant to come to rest
GIVE_UP = 20.0  # seconds until a program that doesn't reach its state says so


# --- lifetime and output -------------------------------------------------------------------


def watchdog(before=None, on_line=None):
    """Ends the process when stdin reaches EOF; runs `before()` in the same thread first."""

    def run():
        try:
            if before is not None:
                before()
        except BaseException:
            die()
        pending = b""
        while True:
            data = os.read(0, 4096)
            if not data:
                os._exit(0)
            pending += data
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                if on_line is not None:
                    on_line(line.decode().strip())

    thread = threading.Thread(target=run, name="watchdog", daemon=True)
    thread.start()
    return thread


def end_with_stdin():
    """Ends the process when stdin does, without a thread: by the signal of a pipe that moves."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)


def die():
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


def emit(value):
    """Prints one line of JSON."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def ready():
    sys.stdout.write("READY\n")
    sys.stdout.flush()


def emit_ready(value):
    """Prints the truth and READY in one write, so that nothing can come between."""
    sys.stdout.write(json.dumps(value) + "\nREADY\n")
    sys.stdout.flush()


def monotonic():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


# --- loops ---------------------------------------------------------------------------------


def new_loop(kind):
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(kind, main, debug=False):
    """`asyncio.run` for both kinds of loop."""
    if sys.version_info >= (3, 12):
        asyncio.run(main, debug=debug, loop_factory=lambda: new_loop(kind))
        return
    if kind == "asyncio":
        asyncio.run(main, debug=debug)
        return
    loop = new_loop(kind)
    asyncio.set_event_loop(loop)
    loop.set_debug(debug)
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()


def current_task():
    return asyncio.current_task()


def all_tasks(loop):
    """What asyncio knows; 3.14+ keeps the tasks of the pure-Python implementation apart."""
    tasks = set(asyncio.all_tasks(loop))
    if hasattr(asyncio.tasks, "_py_all_tasks"):
        tasks |= asyncio.tasks._py_all_tasks(loop)
    return tasks


def is_pure(task):
    """A task of the pure-Python implementation."""
    return isinstance(task, asyncio.tasks._PyTask)


def emit_ready_when_polling(tid, value):
    """For another thread: READY once the loop's thread has gone to sleep."""
    give_up = time.monotonic() + GIVE_UP
    while not is_polling(tid):
        assert time.monotonic() < give_up, "does not poll"
        time.sleep(0.001)
    emit_ready(value)


# --- what can be read from inside ----------------------------------------------------------


def address(thing):
    return None if thing is None else hex(id(thing))


def class_name(thing):
    kind = type(thing)
    return "{}.{}".format(kind.__module__, kind.__qualname__)


def position(frame):
    """Line, and start column on 3.11+, of the instruction that a frame stands on."""
    line, column = frame.f_lineno, None
    code = frame.f_code
    if hasattr(code, "co_positions") and frame.f_lasti >= 0:
        column = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None))[2]
    return line, column


def plain_name(code):
    return getattr(code, "co_qualname", code.co_name)


WRAPPERS = (
    "coroutine_wrapper",
    "async_generator_asend",
    "async_generator_athrow",
    "anext_awaitable",
)
# The pure-Python future yields itself in a generator.
PURE_AWAITS = {asyncio.futures._PyFuture.__await__.__code__}
SUSPENDABLE = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)


def is_wrapper(thing):
    kind = type(thing)
    return kind.__name__ in WRAPPERS and kind.__module__ == "builtins"


def await_chain(coro):
    """[(coroutine or generator, frame)] outermost first, and the object at the end of it."""
    chain = []
    at = coro
    while at is not None:
        if isinstance(at, types.CoroutineType):
            frame, following = at.cr_frame, at.cr_await
        elif isinstance(at, types.GeneratorType):
            frame, following = at.gi_frame, at.gi_yieldfrom
        elif isinstance(at, types.AsyncGeneratorType):
            frame, following = at.ag_frame, at.ag_await
        elif is_wrapper(at):
            inner = [x for x in gc.get_referents(at) if isinstance(x, SUSPENDABLE) or is_wrapper(x)]
            assert len(inner) == 1, (type(at), inner)
            at = inner[0]
            continue
        else:
            break
        if frame is None:
            return chain, None
        chain.append((at, frame))
        at = following
    return chain, at


def compiled_part(end):
    """The functions of coroutines that Cython has compiled, and the object at the end of these."""
    functions = []
    while True:
        if type(end).__module__.startswith("_cython_") and type(end).__name__ == "coroutine_wrapper":
            [end] = [x for x in gc.get_referents(end) if not isinstance(x, type)]
        elif hasattr(type(end), "cr_await"):
            functions.append(end.__qualname__)
            end = end.cr_await
        else:
            return functions, end


def awaited_future(chain, end):
    """The future behind the end of a chain, or None where it can't be known."""
    if end is None and chain and chain[-1][1].f_code in PURE_AWAITS:
        return chain[-1][1].f_locals["self"]
    if isinstance(end, asyncio.Future):
        return end
    if type(end).__name__ == "FutureIter" and type(end).__module__ == "_asyncio":
        futures = [x for x in gc.get_referents(end) if not isinstance(x, type)]
        assert len(futures) <= 1, futures
        return futures[0] if futures else None
    return None


def describe_frame(owner, frame, with_locals=False):
    code = frame.f_code
    line, column = position(frame)
    if hasattr(code, "co_qualname"):
        function = code.co_qualname
    else:
        function = owner.__qualname__ if owner is not None else code.co_name
    result = {"function": function, "file": code.co_filename, "line": line, "column": column}
    if with_locals:
        result["locals"] = {
            name: {"type": class_name(value), "repr": repr(value)}
            for name, value in sorted(dict(frame.f_locals).items())
        }
    return result


def describe_thread_frames(frame):
    """The stack of a thread, outermost first."""
    frames = []
    while frame is not None:
        line, column = position(frame)
        code = frame.f_code
        frames.append(
            {"function": plain_name(code), "file": code.co_filename, "line": line, "column": column}
        )
        frame = frame.f_back
    frames.reverse()
    return frames


# epoll_wait and epoll_pwait of x86_64, epoll_pwait2, epoll_pwait of aarch64. Not select: a
# thread in time.sleep is there before 3.11.
POLLING = {"232", "281", "441", "22"}


def is_polling(tid):
    """Whether a thread sleeps in epoll. Call it while holding the GIL."""
    try:
        with open("/proc/self/task/{}/syscall".format(tid)) as f:
            return f.read().split()[0] in POLLING
    except OSError:
        try:
            with open("/proc/self/task/{}/stat".format(tid)) as f:
                return f.read().rpartition(")")[2].split()[0] == "S"
        except OSError:
            return False


def namespace_pid():
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return os.getpid()


def python_version():
    return "{}.{}.{}".format(*sys.version_info[:3])


# --- the truth -----------------------------------------------------------------------------


def wait_details(frames, task):
    """What asyncio's own objects say about the thing that a task waits for."""
    own = []
    for _, frame in reversed(frames):
        folder, name = os.path.split(frame.f_code.co_filename)
        if not folder.endswith("asyncio"):
            break
        own.append((name, frame.f_code.co_name, frame.f_locals))
    future = task._fut_waiter

    def line(waiters):
        waiters = list(waiters or [])
        return {"waiters": len(waiters), "position": waiters.index(future) + 1}

    def count(futures):
        result = dict.fromkeys(("pending", "done", "failed", "cancelled"), 0)
        for each in futures:
            if not each.done():
                result["pending"] += 1
            elif each.cancelled():
                result["cancelled"] += 1
            else:
                result["failed" if each.exception() else "done"] += 1
        return {"children": result}

    if not own:
        if hasattr(future, "_children"):
            return dict(count(future._children), object=address(future))
        if isinstance(future, asyncio.Task):
            return dict(count([future]), object=address(future))
        return {}
    file, function, local = own[0]
    this = local.get("self")
    outer = [name for _, name, _ in own]
    if (file, function) == ("tasks.py", "sleep"):
        return {"when": local["h"].when()}
    if (file, function) == ("tasks.py", "_wait"):
        handle = local["timeout_handle"]
        return dict(count(local["fs"]), **({"when": handle.when()} if handle else {}))
    if file == "locks.py" and "_wait" in outer:
        this = own[outer.index("_wait")][2]["self"]
        return {"object": address(this), "value": this.n_waiting, "limit": this.parties}
    if file == "locks.py" and "join" in outer:
        this = own[outer.index("join")][2]["self"]
        return dict(
            line(this._finished._waiters), object=address(this), value=this._unfinished_tasks
        )
    if file == "locks.py":
        result = dict(line(this._waiters), object=address(this))
        if isinstance(this, asyncio.Semaphore):
            result["value"] = this._value
        if isinstance(this, asyncio.BoundedSemaphore):
            result["limit"] = this._bound_value
        return result
    if file == "queues.py" and function in ("get", "put") and "_wait_for_one" not in outer:
        waiters = this._getters if function == "get" else this._putters
        return dict(
            line(waiters), object=address(this), value=this.qsize(), limit=this.maxsize
        )
    if file == "taskgroups.py":
        children = dict(count(this._tasks)["children"], failed=len(this._errors))
        return {"object": address(this), "children": children}
    return {}


class Entry:
    """What is known by construction about one task."""

    def __init__(self, key, task, **known):
        self.key = key
        self.task = task
        self.state = known.pop("state", "pending")
        # get_coro() of a task that finished in its eager step crashes 3.12.1 (null, no error);
        # elsewhere it is None.
        finished = task.done() and known.get("eager", False)
        self.coro = None if finished else task.get_coro()
        self.on = known.pop("on", None)
        self.holders = known.pop("holders", [])
        self.wait = known.pop("wait", {})  # what is known of the thing it waits for
        self.default_name = known.pop("default_name", False)
        self.name = known.pop("name", None)
        self.handling = known.pop("handling", None)  # co_name of the frame handling a cancel
        self.exceptions = known.pop("exceptions", {})  # co_name -> exception being handled
        self.requested = known.pop("requested", 0)
        self.must_cancel = known.pop("must_cancel", False)
        self.in_flight = known.pop("in_flight", False)
        self.passed_on = known.pop("passed_on", [])
        self.swallowed = known.pop("swallowed", False)
        self.message = known.pop("message", None)
        self.locals = known.pop("locals", False)
        self.opaque = known.pop("opaque", False)
        self.eager = known.pop("eager", False)
        self.depth = known.pop("depth", None)
        assert not known, known


class Truth:
    """Collects by construction what the program's tasks are, and prints it."""

    def __init__(self, loop_impl, mode):
        self.loop_impl = loop_impl
        self.mode = mode
        self.entries = {}
        self.expected = set()
        self.loops = {}  # loop -> native thread id or None
        self.edges = []  # (child key, awaiter key, via)
        self.tolerated = []  # (child key, awaiter key): not waiting, but a reader may say so
        self.keep = []  # strong references
        self.extra = {}
        self.stacks = None
        self.here = getattr(sys.modules["__main__"], "__file__", None)  # None in a sub-interpreter

    # -- building

    def loop(self, loop, tid):
        self.loops[loop] = tid
        if loop.get_debug():
            loop.slow_callback_duration = 3600.0  # no warnings on stderr, no reading of names

    def expect(self, *keys):
        """Tasks that add themselves later (made by the library or by another thread)."""
        self.expected.update(keys)

    def add(self, key, task, **known):
        assert key not in self.entries, key
        if "name" in known:
            assert not known.get("default_name")
        elif "default_name" not in known:
            known["default_name"] = True
        self.entries[key] = Entry(key, task, **known)
        self.expected.add(key)
        return task

    def start(self, key, coro, name=None, factory=None, **known):
        """Starts a task named after its key."""
        name = key if name is None else name
        if factory is None:
            task = asyncio.get_event_loop().create_task(coro, name=name)
        else:
            task = factory(coro, loop=asyncio.get_event_loop(), name=name)
        return self.add(key, task, name=name, **known)

    def start_unnamed(self, key, coro, number=None, **known):
        """Starts a task with a default name, and finds that name out without reading it."""
        loop = asyncio.get_event_loop()
        task = loop.create_task(coro)
        self.add(key, task, default_name=True, **known)
        if number is None:
            self.entries[key].name = self.name_before_next()
        else:
            self.entries[key].name = "Task-{}".format(number)
        return task

    def name_before_next(self):
        """The default name that the task made last has got: the number before a new one's."""
        return "Task-{}".format(self.next_number() - 1)

    def next_number(self):
        """The number in the default name of a task made for this purpose."""

        async def probe():
            pass

        task = asyncio.get_event_loop().create_task(probe())
        return int(task.get_name().rpartition("-")[2])

    def adopt(self, key, **known):
        """Adds the running task, unless the program added it under some key already."""
        task = current_task()
        for entry in list(self.entries.values()):  # other threads add
            if entry.task is task:
                return task
        return self.add(key, task, **known)

    def awaits(self, awaiter, *children, via="await"):
        for child in children:
            self.edges.append((child, awaiter, via))

    def __getitem__(self, key):
        return self.entries[key].task

    def change(self, key, **known):
        for name, value in known.items():
            assert hasattr(self.entries[key], name), name
            setattr(self.entries[key], name, value)

    # -- readiness

    def not_parked(self, blocking=None):
        """Why the program isn't in its state yet, or None.

        `blocking`: asked by a callback or task (of this key) of the loop in this thread.
        """
        missing = self.expected - set(self.entries)
        if missing:
            return "not there: {}".format(sorted(missing))
        away = []
        for key, entry in list(self.entries.items()):
            if key == blocking:
                continue
            task = entry.task
            if entry.state in ("done", "cancelled", "failed"):
                if not task.done():
                    return "{} is not done".format(key)
                continue
            if task.done():
                return "{} is done".format(key)
            if task._fut_waiter is None:
                return "{} does not wait".format(key)
            own = [f for _, f in await_chain(entry.coro)[0] if f.f_code.co_filename == self.here]
            if own and PARKED not in linecache.getline(self.here, own[-1].f_lineno):
                away.append("{} at line {}".format(key, own[-1].f_lineno))
        if away:
            return ", ".join(away)
        before, self.stacks = self.stacks, self.other_stacks()
        if before != self.stacks:
            return "threads move"
        for loop, tid in list(self.loops.items()):
            if tid is None or (blocking is not None and tid == threading.get_native_id()):
                continue
            if getattr(loop, "_ready", None):
                return "{} has ready handles".format(loop)
            if not is_polling(tid):
                return "thread {} does not poll".format(tid)
        return None

    def other_stacks(self):
        """Where the other threads stand, to be compared."""
        mine = {threading.get_ident()} | {
            t.ident for t in threading.enumerate() if t.native_id in self.loops.values()
        }
        stacks = {}
        for ident, frame in sys._current_frames().items():
            if ident not in mine:
                stacks[ident] = stack = []
                while frame is not None:
                    stack.append((frame.f_code, frame.f_lasti))
                    frame = frame.f_back
        return stacks

    def wait_parked(self):
        """For a thread other than the loops': returns when nothing moves any more."""
        give_up = time.monotonic() + GIVE_UP
        last = None
        while True:
            reason = self.not_parked()
            if reason is None:
                # Two equal collections with idle loops around them: a final state.
                now = self.collect()
                if now == last:
                    return now
                last = now
            if time.monotonic() > give_up:
                raise RuntimeError("not in its state: {}".format(reason))
            time.sleep(0.001)

    # -- collecting

    def collect(self, live=(), partly=False):
        """The truth as one object.

        `live` = [(key of the running task or None, innermost frame)] in this thread, innermost
        first: an eager task runs on top of the one that made it. `partly`: there are more tasks.
        """
        live = list(live)
        by_id = {id(e.task): e for e in self.entries.values()}
        self.check_edges(by_id)
        if not partly:
            self.check_registered(by_id)
            if live:
                self.check_ready()
        result = {
            "pid": os.getpid(),
            "namespace_pid": namespace_pid(),
            "python": python_version(),
            "loop_impl": self.loop_impl,
            "mode": self.mode,
            "loops": [self.describe_loop(loop, tid) for loop, tid in self.loops.items()],
            "threads": self.describe_threads(live),
            "tasks": [self.describe_task(e, live) for e in self.entries.values()],
        }
        result.update(self.extra)
        return result

    def describe_loop(self, loop, tid):
        plain = self.loop_impl == "asyncio"
        return {
            "id": address(loop),
            "class": class_name(loop),
            "thread": tid,
            "debug": loop.get_debug(),
            "running": loop.is_running(),
            "ready": len(loop._ready) if plain else None,
            "scheduled": len(loop._scheduled) if plain else None,
        }

    def describe_threads(self, live):
        stacks = sys._current_frames()
        result = []
        for thread in threading.enumerate():
            top = stacks.get(thread.ident)
            if thread is threading.current_thread():
                top = live[0][1] if live else None
            described = {"tid": thread.native_id, "name": thread.name}
            if top is not None:
                described["frames"] = describe_thread_frames(top)
            result.append(described)
        return result

    def describe_task(self, entry, live):
        task = entry.task
        tops = dict(live)
        running = entry.key in tops
        result = {"key": entry.key, "id": address(task)}
        if not entry.default_name or sys.version_info < (3, 12) or is_pure(task):
            name = task.get_name()
            assert entry.name in (None, name), (entry.key, entry.name, name)
            result["name"] = name
        elif entry.name is not None:
            result["name"] = entry.name
        if entry.default_name:
            result["name_default"] = True
        result["state"] = "running" if running else entry.state
        if running:
            assert not task.done()
        elif entry.state == "cancelled":
            assert task.cancelled(), entry.key
        elif entry.state == "failed":
            assert task.done() and not task.cancelled() and task._exception is not None, entry.key
        elif entry.state == "done":
            assert task.done() and not task.cancelled() and task._exception is None, entry.key
        else:
            assert not task.done(), entry.key
        result["class"] = class_name(task)
        result["loop"] = address(task.get_loop())
        result["coroutine"] = getattr(entry.coro, "__qualname__", None)
        result["fut_waiter"] = address(task._fut_waiter)

        if running:
            owners = []
            result["current"] = entry.key == live[0][0]
            frame = tops[entry.key]
            frames = []
            root = entry.coro.cr_frame
            while True:
                frames.append((None, frame))
                if frame is root:
                    break
                frame = frame.f_back
            frames.reverse()
            end = None
        else:
            frames, end = ([], None) if task.done() else await_chain(entry.coro)
            owners = [owner for owner, _ in frames]
            future = awaited_future(frames, end)
            if future is not None:
                assert future is task._fut_waiter, entry.key
            elif not task.done() and entry.state == "pending":
                assert entry.opaque, (entry.key, end)
        if entry.depth is not None:
            assert len(frames) == entry.depth, (entry.key, len(frames))
        result["frames"] = [describe_frame(o, f, entry.locals) for o, f in frames]
        names = [frame.f_code.co_name for _, frame in frames]
        exceptions = dict(entry.exceptions)
        if entry.handling is not None:
            exceptions.setdefault(entry.handling, "CancelledError")
        for name, exception in exceptions.items():
            assert names.count(name) == 1, (entry.key, name, names)
            result["frames"][names.index(name)]["exception"] = exception
        self.check_exceptions(entry.key, owners, result["frames"])
        compiled, end = compiled_part(end)
        result["frames"].extend({"function": function} for function in compiled)
        if end is not None:
            result["end"] = {"id": address(end), "class": class_name(end)}
        if entry.opaque:
            result["opaque"] = True
        if entry.eager:
            result["eager"] = True

        awaiters = [(a, via) for child, a, via in self.edges if child == entry.key]
        result["awaited_by"] = sorted({address(self[a]) for a, _ in awaiters})
        result["awaited_by_via"] = [{"id": address(self[a]), "via": via} for a, via in awaiters]
        may = [address(self[a]) for child, a in self.tolerated if child == entry.key]
        if may:
            result["awaited_by_may"] = may
        result["waiting_on"] = None
        if not task.done() and (entry.on is not None or entry.state == "ready" or running):
            kind = "running" if running else "ready" if entry.state == "ready" else entry.on
            result["waiting_on"] = {
                "kind": kind,
                "holders": [address(self[h]) for h in entry.holders],
            }
            if kind == entry.on:
                result["waiting_on"].update(wait_details(frames, task))
                wait = entry.wait() if callable(entry.wait) else entry.wait
                result["waiting_on"].update(wait)
        result["cancellation"] = self.describe_cancellation(entry, names, owners)
        return result

    def describe_cancellation(self, entry, names, owners):
        task = entry.task
        result = {}
        if hasattr(task, "cancelling"):
            result["requested"] = task.cancelling()
            assert result["requested"] == entry.requested, (entry.key, result)
        result["must_cancel"] = bool(task._must_cancel)
        assert result["must_cancel"] == entry.must_cancel, entry.key
        waiter = task._fut_waiter
        result["in_flight"] = not task.done() and waiter is not None and waiter.cancelled()
        assert result["in_flight"] == entry.in_flight, entry.key
        result["passed_on"] = [address(self[child]) for child in entry.passed_on]
        result["swallowed"] = entry.swallowed
        result["handling"] = names.index(entry.handling) if entry.handling is not None else None
        if entry.handling is not None and entry.handling in entry.exceptions:
            result["handling_hidden"] = True  # the frame handles another exception on top of it
        # By construction what cancel() was called with; and where it can be read now.
        result["message"] = entry.message if sys.version_info >= (3, 9) else None
        where = None
        if getattr(task, "_cancel_message", None) is not None:
            where = "task"
            assert task._cancel_message == entry.message, entry.key
        elif result["in_flight"] and getattr(waiter, "_cancel_message", None) is not None:
            where = "waiter"
            assert waiter._cancel_message == entry.message, entry.key
        elif result["handling"] is not None and entry.message is not None:
            for held in gc.get_referents(owners[result["handling"]]):
                if isinstance(held, asyncio.CancelledError) and held.args:
                    where = "exception"
                    assert held.args == (entry.message,), entry.key
        result["message_at"] = where
        return result

    # -- introspection against construction

    def check_exceptions(self, key, owners, frames):
        """A coroutine refers to the exception that it is handling."""
        for owner, described in zip(owners, frames):
            if isinstance(owner, types.CoroutineType):
                frame = owner.cr_frame
            elif isinstance(owner, types.GeneratorType):
                frame = owner.gi_frame
            else:
                frame = owner.ag_frame
            expected = {described["exception"]} if "exception" in described else set()
            held = [x for x in gc.get_referents(owner) if isinstance(x, BaseException)]
            # Only now, since reading f_locals leaves a dict behind in frames before 3.13. What
            # is a local too doesn't count, unless expected (`except ... as e`).
            local = {id(value) for value in dict(frame.f_locals).values()} if held else set()
            seen = {
                type(x).__name__
                for x in held
                if id(x) not in local or type(x).__name__ in expected
            }
            if expected == {"KeyError"} and self.entries[key].handling is not None:
                seen.discard("CancelledError")  # lies below the KeyError, on the value stack
            assert seen == expected, (key, described, seen)

    def check_registered(self, by_id):
        for loop in self.loops:
            found = {id(t) for t in all_tasks(loop)}
            listed = {
                id(e.task)
                for e in self.entries.values()
                if not e.task.done() and e.task.get_loop() is loop
            }
            assert found == listed, (
                [repr(t) for t in all_tasks(loop) if id(t) not in listed],
                [by_id[i].key for i in listed - found],
            )

    def check_edges(self, by_id):
        """No edge that asyncio itself knows may be missing from the constructed ones."""
        built = {(child, awaiter) for child, awaiter, _ in self.edges}
        allowed = built | set(self.tolerated)
        for entry in self.entries.values():
            waiter = entry.task._fut_waiter
            if not entry.task.done() and id(waiter) in by_id:
                edge = (by_id[id(waiter)].key, entry.key)
                assert edge in built, edge
        if sys.version_info < (3, 14):
            return
        known = set()
        for entry in self.entries.values():
            if entry.task.done():
                continue
            level = [entry.task]
            seen = set()
            while level:
                future = level.pop()
                for awaiter in getattr(future, "_asyncio_awaited_by", None) or ():
                    if id(awaiter) in by_id:
                        known.add((entry.key, by_id[id(awaiter)].key))
                    elif id(awaiter) not in seen:
                        seen.add(id(awaiter))
                        level.append(awaiter)
        assert known <= allowed, known - allowed
        self.extra["edges_unknown_to_asyncio"] = sorted(map(list, built - known))

    def check_ready(self):
        if self.loop_impl != "asyncio":
            return
        by_id = {id(e.task): e.key for e in self.entries.values()}
        found = set()
        for loop in self.loops:
            for handle in loop._ready:
                callback = handle._callback
                for thing in gc.get_referents(callback) + [getattr(callback, "__self__", None)]:
                    if id(thing) in by_id:
                        found.add(by_id[id(thing)])
        built = {e.key for e in self.entries.values() if e.state == "ready"}
        assert found == built, (found ^ built)
