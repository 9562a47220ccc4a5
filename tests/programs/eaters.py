"""Tasks that eat a cancellation, in many shapes of code, and tasks that would not.

    eaters.py [traced]

Each task that has a line with the comment `# eats` is cancelled until it has eaten, and is
pending afterwards. The comment says whether that can be told for certain from where the task is
now (`sure`) or whether the line is only the likeliest one (`guess`). Functions without such a
line let a cancellation through.

Where handlers have the comment `# around: CATCHES ENDING`, these are all of them around the place
where the task is.
"""

import sys

sys.dont_write_bytecode = True

import asyncio
import contextlib
import inspect
import threading
from asyncio import CancelledError as CE

import common

SHAPES = []
SOURCES = {}
LOG = []


def shape(function):
    SHAPES.append(function)
    return function


def rest():
    return asyncio.get_running_loop().create_future()


# --- eaten around the present await ---------------------------------------------------------


@shape
async def loop_continue():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # eats: sure
            continue


@shape
async def loop_as_name():
    while True:
        try:
            await rest()
        except ValueError:  # around: no raises
            raise
        except asyncio.CancelledError as error:  # around: yes goes-on  # eats: sure
            LOG.append(error)


@shape
async def bare():
    while True:
        try:
            await rest()
        except:  # eats: sure
            pass


@shape
async def bare_on_one_line():
    while True:
        try:
            await rest()
        except: continue  # eats: sure


@shape
async def base_exception():
    for _ in range(1000):
        try:
            await rest()
        except BaseException as error:  # eats: sure
            LOG.append(error)


@shape
async def in_tuple():
    while True:
        try:
            await rest()
        except (OSError, asyncio.CancelledError):  # eats: sure
            LOG.append(1)


@shape
async def in_long_tuple():
    while True:
        try:
            await rest()
        except (  # eats: sure
            OSError,
            asyncio.CancelledError,
            ValueError,
        ):
            LOG.append(1)


ERRORS = (KeyError, asyncio.CancelledError)


@shape
async def in_global_tuple():
    while True:
        try:
            await rest()
        except ERRORS:  # eats: sure
            LOG.append(1)


@shape
async def alias():
    while True:
        try:
            await rest()
        except CE:  # eats: sure
            LOG.append(1)


@shape
async def full_name():
    while True:
        try:
            await rest()
        except asyncio.exceptions.CancelledError:  # eats: sure
            LOG.append(1)


@shape
async def local_alias():
    wanted = asyncio.CancelledError
    while True:
        try:
            await rest()
        except wanted:  # eats: sure
            LOG.append(1)


def in_cell(wanted=asyncio.CancelledError):
    other = []

    @shape
    async def cell_alias():
        other.append(1)
        while True:
            try:
                await rest()
            except wanted:  # eats: sure
                LOG.append(1)


in_cell()


@shape
async def cleans_up_first():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # eats: sure
            with contextlib.ExitStack():
                try:
                    await asyncio.sleep(0)
                finally:
                    LOG.append(1)


@shape
async def with_else_and_finally():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes goes-on  # eats: sure
            pass
        else:
            LOG.append(1)
        finally:  # around: yes raises
            LOG.append(2)


@shape
async def outer_try():
    while True:
        try:
            try:
                await rest()
            except (OSError, Exception):  # around: no goes-on
                pass
            finally:  # around: yes raises
                LOG.append(1)
        except asyncio.CancelledError:  # around: yes goes-on  # eats: sure
            pass


@shape
async def last_chance():
    count = 0
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # eats: sure
            count += 1
            if count > 1000:
                break


@shape
async def conditional():
    closing = False
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes may-raise  # eats: guess
            if closing:
                raise


@shape
async def hot():
    """Cancelled often enough for the interpreter to replace its instructions."""
    numbers = []
    for _ in range(100_000):
        numbers[:] = [_]
        if _ % 1000:
            continue
        try:
            await rest()
        except (KeyError, CE):  # eats: sure
            numbers.append(len(LOG))
            for x in numbers:
                numbers[0] = x + 1


# --- by suppress and other context managers -------------------------------------------------


@shape
async def suppressed():
    while True:
        with contextlib.suppress(asyncio.CancelledError):  # eats: sure
            await rest()


@shape
async def suppressed_base():
    while True:
        LOG.append(1)
        with contextlib.suppress(KeyError, BaseException):  # around: yes goes-on  # eats: sure
            async with asyncio.Lock():
                await rest()


@contextlib.contextmanager
def quiet():
    try:
        yield
    except asyncio.CancelledError:
        LOG.append(1)


@shape
async def suppressed_by_generator():
    while True:
        with quiet():  # eats: sure
            await rest()


@contextlib.asynccontextmanager
async def quiet_later():
    try:
        yield
    except BaseException:
        await asyncio.sleep(0)


@shape
async def suppressed_by_async_generator():
    while True:
        async with quiet_later():  # eats: sure
            await rest()


@shape
async def suppressed_by_stack():
    while True:
        with contextlib.ExitStack() as stack:  # eats: sure
            stack.enter_context(contextlib.suppress(CE))
            await rest()


@shape
async def suppressed_something_else():
    while True:
        with contextlib.suppress(KeyError, OSError):
            await rest()


@contextlib.contextmanager
def tidy():
    try:
        yield
    finally:
        LOG.append(1)


@shape
async def tidied():
    while True:
        with tidy():
            await rest()


# --- over several functions -----------------------------------------------------------------


@shape
async def in_inner():
    async def step():
        try:
            await rest()
        except asyncio.CancelledError:  # eats: sure
            return None

    while True:
        await step()


@shape
async def in_outer():
    async def step():
        try:
            await rest()
        except asyncio.CancelledError:
            LOG.append(1)
            raise
        finally:
            LOG.append(2)

    while True:
        try:
            await step()
        except asyncio.CancelledError:  # eats: sure
            pass


@shape
async def two_levels_out():
    async def innermost():
        await rest()

    async def inner():
        await innermost()

    while True:
        try:
            await inner()
        except CE:  # eats: sure
            LOG.append(1)


@shape
async def by_decorator():
    def again(function):
        async def wrapper():
            for _ in range(1000):
                try:
                    return await function()
                except BaseException:  # eats: sure
                    continue

        return wrapper

    @again
    async def job():
        try:
            await rest()
        finally:
            LOG.append(1)

    await job()


@shape
async def over_task():
    """The one awaited is a task of its own."""

    async def child():
        await rest()

    while True:
        try:
            await asyncio.ensure_future(child())
        except asyncio.CancelledError:  # eats: sure
            LOG.append(1)


@shape
async def in_library_call():
    queue = asyncio.Queue()
    while True:
        try:
            await queue.get()
        except asyncio.CancelledError:  # eats: sure
            LOG.append(1)


# --- async for, async with, generators ------------------------------------------------------


@shape
async def async_for_body():
    async def numbers():
        for x in range(1000):
            yield x

    async for _ in numbers():
        try:
            await rest()
        except asyncio.CancelledError:  # eats: sure
            pass


@shape
async def around_async_for():
    async def numbers():
        yield 1
        await rest()

    while True:
        try:
            async for _ in numbers():
                pass
        except asyncio.CancelledError:  # eats: sure
            pass


@shape
async def async_with_body():
    lock = asyncio.Lock()
    while True:
        async with lock:
            try:
                await rest()
            except asyncio.CancelledError:  # eats: sure
                pass


@shape
async def around_async_with():
    lock = asyncio.Lock()
    while True:
        try:
            async with lock:
                await rest()
        except asyncio.CancelledError:  # eats: sure
            pass


@shape
async def in_generator():
    async def numbers():
        while True:
            try:
                await rest()
            except asyncio.CancelledError:  # eats: sure
                yield 1

    async for _ in numbers():
        pass


# --- eaten before ---------------------------------------------------------------------------


@shape
async def before():
    try:
        await rest()
    except asyncio.CancelledError:  # eats: guess
        pass
    await rest()


@shape
async def before_in_loop():
    while True:
        try:
            await asyncio.sleep(common.FOREVER)
        except asyncio.CancelledError:  # eats: guess
            LOG.append(1)
        await rest()


@shape
async def before_suppressed():
    with contextlib.suppress(asyncio.CancelledError):  # eats: guess
        await rest()
    async with asyncio.Lock():
        await rest()


@shape
async def before_with_others():
    try:
        await asyncio.sleep(0)
    except OSError:
        pass
    try:
        await rest()
    except BaseException:  # eats: guess
        pass
    with contextlib.suppress(OSError):
        await asyncio.sleep(0)
    try:
        await rest()
    except ValueError:
        pass


@shape
async def before_then_other_way_out():
    number = 0
    while True:
        try:
            number += 1
            if number > 1:
                raise KeyError
            await rest()
        except asyncio.CancelledError:  # eats: guess
            pass
        except KeyError:
            break
    await rest()


# --- eaten by a function that was called before ---------------------------------------------


async def careless():
    try:
        await rest()
    except asyncio.CancelledError:  # eats: guess
        pass


async def careful():
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        raise


@shape
async def called_before():
    await careful()
    while True:
        await careless()
        await rest()


class Worker:
    async def step(self):
        with contextlib.suppress(asyncio.CancelledError):  # eats: guess
            await rest()

    async def work(self):
        while True:
            await self.step()
            await rest()


@shape
async def method_called_before():
    await Worker().work()


@shape
async def never_called_before():
    await rest()
    await careless()


# The lines of these are in another function.
ELSEWHERE = {called_before: careless, method_called_before: Worker.step}


if sys.version_info < (3, 12):
    WAITED = []

    @shape
    async def hidden_by_wait_for():
        """A result that came in the same moment hides the cancellation (gh-86296)."""
        while True:
            WAITED.append(rest())
            await asyncio.wait_for(WAITED[-1], common.FOREVER)

    ELSEWHERE[hidden_by_wait_for] = asyncio.wait_for


# --- not eaten ------------------------------------------------------------------------------


@shape
async def only_exception():
    while True:
        try:
            await rest()
        except Exception:  # around: no goes-on
            continue


@shape
async def reraised():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes raises
            LOG.append(1)
            raise


@shape
async def reraised_by_name():
    while True:
        try:
            await rest()
        except BaseException as error:  # around: yes raises
            raise error


@shape
async def replaced():
    while True:
        try:
            await rest()
        except asyncio.CancelledError as error:  # around: yes raises
            raise RuntimeError from error


@shape
async def reraised_in_finally():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes raises
            try:
                await asyncio.sleep(0)
            finally:
                raise


@shape
async def reraised_both_ways():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes raises
            with contextlib.suppress(OSError):
                LOG.append(1)
            if LOG:
                raise
            else:
                raise KeyError


@shape
async def first_clause_wins():
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes raises
            raise
        except BaseException:  # around: no goes-on
            continue


@shape
async def finally_only():
    while True:
        try:
            await rest()
        finally:  # around: yes raises
            for x in (1, 2):
                if x == 2:
                    LOG.append(x)


@shape
async def returns():
    """It would end."""
    while True:
        try:
            await rest()
        except asyncio.CancelledError:  # around: yes goes-on
            return


@shape
async def handler_behind():
    while True:
        await rest()
        try:
            await asyncio.sleep(0)
        except OSError:
            pass


@shape
async def not_yet_there():
    await rest()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        pass


@shape
async def around_no_await():
    try:
        LOG.append(1)
    except BaseException:
        pass
    await rest()


class CancelledError(Exception):
    """Another one."""


@shape
async def same_name():
    while True:
        try:
            await rest()
        except CancelledError:  # around: no goes-on
            continue


@shape
async def in_library():
    await asyncio.gather(asyncio.sleep(common.FOREVER), asyncio.Event().wait())


@shape
async def in_condition():
    condition = asyncio.Condition()
    while True:
        async with condition:
            await condition.wait()


# --- what the compiler warns of, newer syntax, long functions --------------------------------

FINALLY = '''
@shape
async def finally_return():
    async def step():
        try:
            await rest()
        finally:  # eats: sure
            return 1

    while True:
        await step()

@shape
async def finally_return_later():
    async def step():
        try:
            await rest()
        finally:  # eats: sure
            # A comment

            LOG.append(1)
            return LOG

    while True:
        await step()

@shape
async def finally_continue():
    while True:
        try:
            await rest()
        finally:  # eats: sure
            LOG.append(1)
            continue

@shape
async def finally_maybe():
    while True:
        try:
            await rest()
        finally:  # eats: guess
            if LOG:
                continue
'''

NEWER = {
    (3, 10): '''
@shape
async def in_match():
    while True:
        match 3:
            case int(x):
                try:
                    await rest()
                except asyncio.CancelledError:  # eats: sure
                    LOG.append(x)
''',
    (3, 11): '''
@shape
async def in_group():
    while True:
        try:
            await rest()
        except* OSError:
            pass
        except* asyncio.CancelledError:  # eats: sure
            pass

@shape
async def in_group_reraised():
    while True:
        try:
            await rest()
        except* OSError:  # around: no goes-on
            pass
        except* asyncio.CancelledError:  # around: yes raises
            raise
''',
}

LONG = '''
@shape
async def long():
    {filler}
    while True:
        {filler}
        try:
            {filler}
            await rest()
            {filler}
        except (KeyError, asyncio.CancelledError):  # eats: sure
            {filler}

@shape
async def long_innocent():
    {filler}
    while True:
        try:
            await rest()
            {filler}
        except asyncio.CancelledError:
            {filler}
            raise
'''.format(filler=";".join("LOG.append({}.5)".format(n) for n in range(300)))


def define(name, source):
    SOURCES[name] = source
    exec(compile(source, name, "exec"), globals())


define("<finally>", FINALLY)
define("<long>", LONG)
for version, source in NEWER.items():
    if sys.version_info >= version:
        define("<newer than {}.{}>".format(*version), source)
with open(__file__) as f:
    SOURCES[__file__] = f.read()


# --- the program ----------------------------------------------------------------------------


def lines_of(function):
    """The lines of a function with their numbers."""
    code = function.__code__
    lines = SOURCES[code.co_filename].split("\n")
    indent = len(lines[code.co_firstlineno - 1]) - len(lines[code.co_firstlineno - 1].lstrip())
    # Behind the decorator and the `def`.
    first = code.co_firstlineno + lines[code.co_firstlineno - 1].strip().startswith("@") + 1
    for number in range(first, len(lines) + 1):
        line = lines[number - 1]
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        yield number, line


def kind_of(line):
    word = line.split()[0].strip(":*")
    return {"except": "Except", "finally": "Finally"}.get(word, "Suppress")


def eater(function):
    """The line that eats in a function, or None."""
    function = ELSEWHERE.get(function, function)
    if function is asyncio.wait_for:
        file = inspect.getsourcefile(function)
        lines, first = inspect.getsourcelines(function)
        at = [line.strip() for line in lines].index("await waiter") + 1
        assert "except exceptions.CancelledError:" in lines[at]
        return {"file": file, "line": first + at, "kind": "Except", "sure": False}
    for number, line in lines_of(function):
        if "# eats: " in line:
            is_sure = line.endswith("# eats: sure")
            file = function.__code__.co_filename
            return {"file": file, "line": number, "kind": kind_of(line), "sure": is_sure}
    return None


def around(function):
    """The handlers around the place where a task is, or None if they are not marked."""
    handlers = []
    for number, line in lines_of(function):
        if "# around: " in line:
            catches, ending = line.partition("# around: ")[2].split()[:2]
            handlers.append([number, kind_of(line), catches == "yes", ending])
    return handlers or None


async def settle(tasks):
    while any(task._fut_waiter is None or task._fut_waiter.done() for task in tasks):
        assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
        await asyncio.sleep(0)
    # What a child of gather or another task still has to do.
    for _ in range(5):
        await asyncio.sleep(0)


async def main():
    try:
        await arrange()
    except BaseException:
        common.die()  # asyncio.run would wait for those that eat


async def arrange():
    tasks, truth = [], {}
    for function in SHAPES:
        task = asyncio.ensure_future(function())
        task.set_name(function.__name__)
        tasks.append(task)
        truth[common.address(task)] = {"name": function.__name__, "eater": eater(function)}
        truth[common.address(task)]["around"] = around(function)
    await settle(tasks)
    for task in tasks:
        if truth[common.address(task)]["eater"]:
            for _ in range(70 if task.get_name() == "hot" else 1):
                if task.get_name() == "hidden_by_wait_for":
                    WAITED[-1].set_result(1)
                assert task.cancel(), task
                await settle([task])
    await settle(tasks)
    assert len(truth) == len(SHAPES) == len({one["name"] for one in truth.values()})
    value = {"tasks": truth, "sources": SOURCES}
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
