"""What the programs of the findings share: how a program says that it is in its state.

A scenario is a small program like one somebody may have written, that goes wrong in one way. It
prints one line of JSON and then READY once it is in its state, which a thread beside the event
loop sees from the frames, the tasks and the kernel, not from the clock. It ends when its stdin
does. With --healthy it is the twin that does the same right; with --uvloop it runs on uvloop.

The line of JSON says what is wrong, by construction (see `finding`). Lines of the program are
found by the comments at their ends, so that they stay right when it changes.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import asyncio
import functools
import os
import re
import socket
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common
from common import FOREVER  # noqa: F401 (for the programs)

parser = argparse.ArgumentParser()
parser.add_argument("--healthy", action="store_true")
parser.add_argument("--uvloop", action="store_true")
parser.add_argument("--kind")
options = parser.parse_args()

healthy = options.healthy
kind = options.kind
MAIN_TID = threading.get_native_id()
PROGRAM = os.path.abspath(sys.argv[0])
SELF = (sys.argv[0], PROGRAM)  # its name in code objects: before 3.9 as given, then in full
STUCK = 5.2  # seconds after which a wait for the world outside counts as stuck, and a little
_keep = []


# --- what is to be found -------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def line(mark):
    """The number of the line that ends in the comment `# mark`."""
    with open(PROGRAM) as source:
        found = [n for n, text in enumerate(source, 1) if re.search(r"# %s$" % re.escape(mark), text)]
    assert len(found) == 1, (mark, found)
    return found[0]


def finding(code, severity, tasks=(), at=(), kind=None, says=()):
    """A finding that must be given.

    tasks: it must be about these at least. at: marks of the lines that its title or evidence
    must name. kind: a word that must be in one of them; says: more of these.
    """
    marks = [at] if isinstance(at, str) else at
    return {
        "code": code,
        "severity": severity,
        "tasks": {task.get_name(): hex(id(task)) for task in tasks},
        "places": ["%s:%d" % (os.path.basename(PROGRAM), line(mark)) for mark in marks],
        "kind": kind,
        "says": list(says),
    }


def waits(task, kind, tasks=()):
    """What a task must be said to wait for."""
    return {
        "task": {task.get_name(): hex(id(task))},
        "kind": kind,
        "tasks": {task.get_name(): hex(id(task)) for task in tasks},
    }


def when(reached, expected=None, also=(), waiting=None, held_for=0.0, alone=False):
    """READY once `reached()` has been true for `held_for` seconds.

    expected: gives the findings, asked then; None: there must be none. also: codes of other
    findings that are true too; of a healthy program, of notes. waiting: gives what tasks wait for.
    alone: no thread is left beside the loop.
    """

    def watch():
        try:
            give_up = time.monotonic() + common.GIVE_UP
            since = None
            while since is None or time.monotonic() < since + held_for:
                if not reached():
                    since = None
                elif since is None:
                    since = time.monotonic()
                assert time.monotonic() < give_up, "never got into its state:\n" + describe()
                if since is None or held_for:
                    time.sleep(0.001)
            truth = {
                "expect": [] if expected is None else expected(),
                "also": list(also),
                "waits": [] if waiting is None else waiting(),
            }
            common.emit_ready(truth)
        except BaseException:
            common.die()

    if alone:
        common.end_with_stdin()
    else:
        common.watchdog()
    threading.Thread(target=watch, name="stage", daemon=True).start()


# --- the state, seen from a thread beside the loop -------------------------------------------


def describe():
    lines = []
    for ident, frame in sys._current_frames().items():
        lines.append("thread %d: %s" % (ident, stack_of(frame)))
    return "\n".join(lines)


def stack_of(frame):
    stack = []
    while frame is not None:
        stack.append("%s:%d" % (frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    return stack


def where(task):
    """The lines of this program at which a suspended task is."""
    chain, _ = common.await_chain(task.get_coro())
    return [frame.f_lineno for _, frame in chain if frame.f_code.co_filename in SELF]


def parked(task, mark):
    """Whether a task waits below a line."""
    try:
        return not task.done() and task._fut_waiter is not None and line(mark) in where(task)
    except (AttributeError, AssertionError):
        return False  # it runs just now


def asleep(tid=MAIN_TID):
    """Whether the thread of an event loop sleeps in its selector."""
    return common.is_polling(tid)


def resting(places):
    """A condition: each task waits at its line, and the loop has nothing to do."""
    return lambda: all(parked(task, mark) for task, mark in places.items()) and asleep()


def syscall(tid, pid="self"):
    try:
        with open("/proc/%s/task/%d/syscall" % (pid, tid)) as file:
            return file.read().split()[0]
    except OSError:
        return "running"


def frames(ident=None):
    """The frames of a thread, innermost first."""
    frame = sys._current_frames().get(ident or threading.main_thread().ident)
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def stands_at(mark, ident=None):
    """Whether a thread is in a call made at a line of this program."""
    at = line(mark)
    return any(f.f_code.co_filename in SELF and f.f_lineno == at for f in frames(ident))


def stuck(mark):
    """Whether the main thread is in a blocking system call below a line of this program."""
    return stands_at(mark) and syscall(MAIN_TID) not in ("running", "-1")


def threads_at(mark):
    """How many threads are in a blocking system call below a line."""
    return sum(
        stands_at(mark, thread.ident) and syscall(thread.native_id) not in ("running", "-1")
        for thread in threading.enumerate()
    )


def within(*functions):
    """Whether the main thread is in one of these functions."""
    return any(frame.f_code.co_name in functions for frame in frames())


def runs(loop, *functions):
    """Whether a task of a loop is in one of these functions."""
    try:
        chains = [common.await_chain(task.get_coro())[0] for task in asyncio.all_tasks(loop)]
    except (AttributeError, AssertionError):
        return False  # one runs just now
    return any(frame.f_code.co_name in functions for chain in chains for _, frame in chain)


# --- parts of programs -----------------------------------------------------------------------


def silent_server():
    """The address of a server that takes connections and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    _keep.append(listener)
    return listener.getsockname()


def keep(*things):
    """Keeps things alive for good."""
    _keep.extend(things)


def run(main):
    """`asyncio.run`, on the kind of loop asked for."""
    common.run("uvloop" if options.uvloop else "asyncio", main)


def client(address, request):
    """A connection of a client to this very process, once it got an answer."""
    connection = socket.create_connection(address)
    connection.sendall(request)
    assert connection.recv(1000)
    _keep.append(connection)


async def forever():
    await asyncio.Event().wait()
