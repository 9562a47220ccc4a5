"""Tasks in contexts with variables, of which each says what it has.

    variables.py KIND    tasks in C or `pure` Python; contexts of 0, 1, 5, 20, 40 and 2,000 variables; traces; a task that a request left

SECRET stands wherever nobody is to read it. Says what a reader has to find, then READY, and goes on
until its standard input ends.
"""

import asyncio
import contextvars
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import common

common.watchdog()

VALUES = ["text", "tab\there", "x" * 81, "", 7, -(10 ** 30), True, None, ["SECRET"], 1.5]
TRACE = 0x0AF7651916CD43DD8448EB211C80319C
SPAN = 0xB7AD6B7169203331
truth = {}
rest = None
is_pure = sys.argv[1] == "pure"


def current_task():
    """From 3.14 on tasks in Python are kept apart."""
    ask = is_pure and getattr(asyncio.tasks, "_py_current_task", None)
    return (ask or asyncio.current_task)()


def named(name, values):
    """One variable for each value."""
    return [(contextvars.ContextVar("%s_%04d" % (name, number)), value) for number, value in enumerate(values)]


async def hold(variables, name, ids=None):
    for variable, value in variables:
        variable.set(value)
    current_task().set_name(name)
    context = contextvars.copy_context()
    known = {variable.name: context[variable] for variable in context}
    truth[name] = {"ids": ids, "variables": sorted(
        (name, repr(value) if is_shown(value) else None)
        for name, value in known.items() if name not in LIBRARIES)}
    await rest


def is_shown(value):
    if isinstance(value, str):
        return len(value) <= 80
    return isinstance(value, int)


# --- What libraries keep in variables, as they do it -----------------------------

LIBRARIES = ["current_context", "datadog_contextvar", "correlation_id", "decimal_context"]


def of(module):
    """Makes a class one of that module."""
    def decorate(cls):
        cls.__module__ = module
        return cls
    return decorate


@of("opentelemetry.context.context")
class Context(dict):
    pass


@of("opentelemetry.trace.span")
class SpanContext(tuple):
    pass


@of("opentelemetry.sdk.trace")
class _Span:
    def __init__(self, end_time):
        self._name = "GET /SECRET"
        self._context = SpanContext((TRACE, SPAN, False, 1, None, True))
        self._end_time = end_time
        self._attributes = {"http.target": "/?token=SECRET"}


@of("ddtrace._trace.span")
class Span(object):
    __slots__ = ["service", "name", "trace_id", "span_id", "duration_ns", "_parent", "__weakref__"]

    def __init__(self, trace_id, parent=None, duration_ns=None):
        self.service = self.name = "SECRET"
        self.trace_id, self.span_id = trace_id, SPAN
        self._parent, self.duration_ns = parent, duration_ns


CURRENT = contextvars.ContextVar("current_context", default=Context())
DATADOG = contextvars.ContextVar("datadog_contextvar", default=None)
CORRELATION = contextvars.ContextVar("correlation_id", default=None)


def with_span(end_time=None):
    return Context({"baggage-77": {"user": "SECRET"}, "current-span-4fdc": _Span(end_time)})


async def application(scope, receive, send):
    """A request that sets its variable itself, and starts something that outlives it."""
    token = CURRENT.set(with_span())
    CORRELATION.set("r-17")
    asyncio.ensure_future(hold([], "left behind", "otel r-17"))
    await asyncio.sleep(0)
    current_task().set_name("request")
    try:
        await rest
    finally:
        CURRENT.reset(token)


async def main():
    global rest
    loop = asyncio.get_running_loop()
    if is_pure:
        loop.set_task_factory(lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options))
    rest = loop.create_future()
    tasks = [asyncio.ensure_future(hold([], "plain 0"))]
    for count in [1, 5, 20, 40, 2000]:
        values = [VALUES[number % len(VALUES)] for number in range(count)]
        variables = named("own", values)
        tasks.append(asyncio.ensure_future(hold(variables, "plain %d" % count)))
    password = contextvars.ContextVar("db_password")
    tasks.append(asyncio.ensure_future(hold([(password, "SECRET")], "secret")))
    outer = Span(7)
    for name, value, variable in [
            ("open", with_span(), CURRENT), ("ended", with_span(12), CURRENT), ("none", Context(), CURRENT),
            ("ddtrace", Span(TRACE, outer), DATADOG), ("ddtrace inner", Span(TRACE, outer, 5), DATADOG),
            ("ddtrace over", Span(TRACE, None, 5), DATADOG)]:
        tasks.append(asyncio.ensure_future(hold([(variable, value)], name, name)))
    scope = {"type": "http", "method": "GET", "path": "/orders/17", "query_string": b"token=SECRET"}
    tasks.append(asyncio.ensure_future(application(scope, None, None)))
    while len(truth) < 14 or tasks[-1].get_name() != "request":
        await asyncio.sleep(0.01)
    common.emit_ready(truth)
    await rest


asyncio.run(main())
