"""Synchronous code in coroutines that may await all the same: in a greenlet, as SQLAlchemy does it."""

import sys

import greenlet


async def spawn(function, *args):
    """Calls a function in a greenlet, and awaits what it hands out."""
    context = greenlet.greenlet(function, greenlet.getcurrent())
    result = context.switch(*args)
    while not context.dead:
        try:
            value = await result
        except BaseException:
            result = context.throw(*sys.exc_info())
        else:
            result = context.switch(value)
    return result


def await_(awaitable):
    """Has something awaited by the coroutine that called `spawn`."""
    return greenlet.getcurrent().parent.switch(awaitable)
