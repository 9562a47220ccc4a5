"""All connections of a pool are out; who has them waits for a server that is silent.

--kind aiohttp: an answer's body is read. aiohttp_host: the limit is on those to one host.
httpx: the same. httpx_open: answers are opened and never closed. httpx_nested: who has a
connection wants another one. The healthy twins use the same pool all the time.
"""

import asyncio
import gc

import stage

LIMIT = 3
library, _, how = stage.kind.partition("_")
answered = [0]


async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            if stage.healthy:
                await asyncio.sleep(0.01)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


def make():
    if library == "aiohttp":
        import aiohttp

        name = "limit_per_host" if how == "host" else "limit"
        connector = aiohttp.TCPConnector(**{name: LIMIT})
        timeout = aiohttp.ClientTimeout(total=None)
        return aiohttp.ClientSession(connector=connector, timeout=timeout)
    import httpx

    limits = httpx.Limits(max_connections=LIMIT)
    return httpx.AsyncClient(timeout=None, trust_env=False, limits=limits)


async def report(client, url):
    if library == "aiohttp":
        async with client.get(url) as answer:
            await answer.read()  # culprit
    else:
        async with client.stream("GET", url) as answer:
            async for _ in answer.aiter_bytes():  # reads
                pass


async def ask(client, url):
    answer = await client.send(client.build_request("GET", url), stream=True)
    return answer.status_code


async def nested(client, url):
    async with client.stream("GET", url):
        both.append(asyncio.current_task())
        while len(both) < LIMIT:
            await asyncio.sleep(0.01)
        await client.get(url)  # second


async def again(client, url):
    while True:
        await report(client, url)
        answered[0] += 1


async def request(client, url):
    await client.get(url)  # waits


def many(function, count, *arguments):
    return [
        asyncio.get_running_loop().create_task(function(*arguments)) for _ in range(count)
    ]


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
    async with make() as client:
        if stage.healthy:
            workers = many(again, 3 * LIMIT, client, url)
            stage.when(lambda: answered[0] > 20, also=["pool-exhausted"])
            await asyncio.wait(workers)
        holders, mark = [], {"httpx": "reads", "aiohttp": "culprit"}[library]
        if how == "open":
            for _ in range(LIMIT):
                await ask(client, url)
            gc.collect()  # An answer and its stream refer to each other.
        elif how == "nested":
            holders, mark = many(nested, LIMIT, client, url), "second"
        else:
            holders = many(report, LIMIT, client, url)
            while not all(stage.parked(task, mark) for task in holders):
                await asyncio.sleep(0.01)
        waiters = [] if how == "nested" else many(request, 5, client, url)
        places = {task: "waits" for task in waiters}
        places.update({task: mark for task in holders})
        if how == "nested":
            found = lambda: stage.finding("deadlock", "critical", holders, "second")
        elif how == "open":
            found = lambda: stage.finding(
                "pool-exhausted", "critical", waiters, "waits", "no owner"
            )
        else:
            found = lambda: stage.finding(
                "pool-exhausted", "warning", holders + waiters, [mark, "waits"], "3 in report"
            )
        stage.when(
            stage.resting(places),
            lambda: [found()],
            also=["peer-silent"],
            waiting=lambda: [
                stage.waits(task, "pool") for task in (holders if how == "nested" else waiters)
            ],
            held_for=0.0 if how in ("open", "nested") else stage.STUCK,
        )
        await asyncio.wait(waiters + holders)
    server.close()


both = []
stage.run(main())
