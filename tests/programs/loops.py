"""Tasks that are parked inside and outside of loops of many kinds.

    loops.py [traced]

Each `for` that a task is in has the comment `# in: NUMBER DONE LEFT`: its place among them from
the innermost one, how many of its turns are done and how many come after the present one, `-`
where a reader of its memory cannot know. Functions without such a comment are in no loop.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import contextlib
import inspect
import threading

import common

SHAPES = []


def shape(function):
    SHAPES.append(function)
    return function


async def rest(is_here=True):
    if is_here:
        await asyncio.get_running_loop().create_future()


class Items:
    """An iterator that is not built in."""

    def __init__(self):
        self.next = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.next += 1
        return self.next


async def aiter():
    for item in range(4):  # of others
        yield item


def generate():
    yield from range(10)


@shape
async def of_list():
    for item in ["a", "b", "c", "d"]:  # in: 1 2 1
        await rest(item == "c")


@shape
async def of_growing_list():
    items = [0]
    for item in items:  # in: 1 3 2
        items.append(item + 1)
        if item == 3:
            items.append(5)
            await rest()


@shape
async def of_tuple(items=(1, 2, 3)):
    for item in items:  # in: 1 2 0
        await rest(item == 3)


@shape
async def of_range():
    for item in range(10):  # in: 1 range:4 5
        await rest(item == 4)


@shape
async def of_range_with_steps():
    for item in range(50, 0, -10):  # in: 1 range:1 3
        await rest(item == 40)


@shape
async def of_dict():
    for key in {1: 1, 2: 2, 3: 3}:  # in: 1 1 1
        await rest(key == 2)


@shape
async def of_values():
    for value in {1: 1, 2: 2, 3: 3}.values():  # in: 1 2 0
        await rest(value == 3)


@shape
async def of_items():
    for key, value in {1: 1, 2: 2, 3: 3}.items():  # in: 1 0 2
        await rest(key == value)


@shape
async def of_set():
    for number, item in enumerate({1, 2, 3}):  # in: 1 1 1
        await rest(number == 1)


@shape
async def of_enumerate():
    for number, item in enumerate(["a", "b", "c"], 10):  # in: 1 1 1
        await rest(item == "b")


@shape
async def of_zip():
    for one, other in zip([1, 2, 3, 4], generate()):  # in: 1 2 1
        await rest(one == 3)


@shape
async def of_string():
    for item in "abcdef":  # in: 1 - -
        await rest(item == "c")


@shape
async def of_generator():
    for item in generate():  # in: 1 - -
        await rest(item == 3)


@shape
async def of_map():
    for item in map(str, [1, 2]):  # in: 1 - -
        await rest()


@shape
async def of_python_iterator():
    for item in Items():  # in: 1 - -
        await rest(item == 3)


@shape
async def inside_argument(log=[]):
    for item in [1, 2, 3]:  # in: 1 1 1
        log.append((item, "some", await rest(item == 2)))


@shape
async def nested():
    for outer in [1, 2, 3]:  # in: 2 1 1
        for inner in range(5):  # in: 1 range:2 2
            await rest(outer == 2 and inner == 2)


@shape
async def nested_in_python_iterator():
    for outer in Items():  # in: 2 - -
        for inner in [1, 2, 3]:  # in: 1 - -
            await rest(inner == 2)


@shape
async def behind_inner():
    for outer in (1, 2, 3):  # in: 1 1 1
        for inner in range(5):
            pass
        await rest(outer == 2)


@shape
async def before_inner():
    for outer in (1, 2, 3):  # in: 1 1 1
        for inner in [await rest(outer == 2)]:
            pass


@shape
async def in_try():
    for item in [1, 2, 3]:  # in: 1 1 1
        try:
            await rest(item == 2)
        except ValueError:
            continue
        finally:
            pass


@shape
async def in_except():
    for item in [1, 2, 3]:  # in: 1 1 1
        try:
            raise ValueError
        except ValueError as error:
            await rest(item == 2)


@shape
async def in_finally():
    for item in [1, 2, 3]:  # in: 1 1 1
        try:
            item += 1
        finally:
            await rest(item == 3)


@shape
async def in_with():
    with contextlib.suppress(ValueError):
        for item in [1, 2, 3]:  # in: 1 1 1
            with contextlib.suppress(KeyError):
                await rest(item == 2)


@shape
async def in_async_with():
    for item in [1, 2, 3]:  # in: 1 1 1
        async with asyncio.Lock():
            await rest(item == 2)


@shape
async def in_condition():
    for item in [1, 2, 3, 4, 5]:  # in: 1 1 3
        if item % 2:
            continue
        while item:
            await rest()


@shape
async def in_async_for():
    for item in [1, 2, 3]:  # in: 1 1 1
        async for other in aiter():
            await rest(item == 2 and other == 2)


@shape
async def in_long_body():
    for item in [1, 2, 3]:  # in: 1 1 1
        x = item
        x = [x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, x + 8, x + 9, x + 10, x + 11, x + 12]
        x = [x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x]
        x = {1: x, 2: x, 3: x, 4: x, 5: x, 6: x, 7: x, 8: x, 9: x, 10: x, 11: x, 12: x, 13: x}
        x = [x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11], x[12], x[13]]
        await rest(item == 2)
        x = [x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x]
        x = {1: x, 2: x, 3: x, 4: x, 5: x, 6: x, 7: x, 8: x, 9: x, 10: x, 11: x, 12: x, 13: x}


@shape
async def comprehension():
    return [await rest(item == 2) for item in [1, 2, 3]]  # in: 1 1 1


@shape
async def nested_comprehension():
    return {x: await rest(x == 2 and y == 1) for x in [1, 2, 3] for y in (0, 1)}  # in: 2 1 1  # in: 1 1 0


@shape
async def comprehension_in_loop():
    for item in range(3):  # in: 2 range:1 1
        [await rest(item == 1 and other == 6) for other in (5, 6, 7, 8)]  # in: 1 1 2


@shape
async def specialized():
    # Often enough for FOR_ITER to be replaced by one for lists.
    for turn in range(100):
        for item in [1, 2]:
            pass
    for item in list(range(100)):  # in: 1 70 29
        await rest(item == 70)


# --- in no loop --------------------------------------------------------------------------------


@shape
async def in_while():
    while True:
        await rest()


@shape
async def only_async_for():
    async for item in aiter():
        await rest(item == 2)


@shape
async def behind():
    for item in [1, 2, 3]:
        await rest(False)
    await rest()


@shape
async def behind_break():
    while True:
        for item in [1, 2, 3]:
            await rest(False)
            break
        await rest()


@shape
async def in_else():
    for item in [1, 2, 3]:
        await rest(False)
    else:
        await rest()


@shape
async def before_break():
    for item in [1, 2, 3]:
        if item == 2:
            await rest()
            break


@shape
async def before_return():
    for item in [1, 2, 3]:
        if item == 2:
            return await rest()


@shape
async def iterable():
    for item in await rest():
        await rest()


def lines_of(function):
    lines, first = inspect.getsourcelines(function)
    return enumerate(lines, first)


def loops(function):
    """The loops that a task is in, innermost first."""
    found = []
    for line, text in lines_of(function):
        for mark in text.split("# in: ")[1:]:
            place, done, left = mark.split()
            if done.startswith("range:"):
                # From 3.12 on the iterator of a range only knows what is left.
                done = "-" if sys.version_info >= (3, 12) else done[len("range:") :]
            numbers = [None if one == "-" else int(one) for one in (done, left)]
            found.append((int(place), [line] + numbers))
    return [loop for _, loop in sorted(found)]


async def main():
    tasks, truth = [], {}
    for function in SHAPES:
        task = asyncio.ensure_future(function())
        tasks.append(task)
        truth[common.address(task)] = {"name": function.__name__, "loops": loops(function)}
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
    value = {"tasks": truth, "file": __file__}
    tid = threading.get_native_id()
    threading.Thread(target=common.emit_ready_when_polling, args=(tid, value)).start()
    await rest()


if __name__ == "__main__":
    common.watchdog()
    if "traced" in sys.argv[1:]:

        def trace(frame, event, argument):
            return trace

        sys.settrace(trace)
    asyncio.run(main())
