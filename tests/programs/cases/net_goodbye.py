"""Sessions are cancelled all the time; each says goodbye, and waits 0.4 s for the answer."""

# wanted: nothing

import asyncio

import case

answered = [0]


async def answer(reader, writer):
    while await reader.readline():
        await asyncio.sleep(0.4)
        writer.write(b"bye\n")
        await writer.drain()
        answered[0] += 1
    writer.close()


async def session(address):
    reader, writer = await asyncio.open_connection(*address)
    try:
        await asyncio.sleep(50)
    finally:
        writer.write(b"rollback\n")
        await reader.readline()
        writer.close()


async def client(address, number):
    while True:
        task = asyncio.create_task(session(address), name="session-%d" % number)
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    case.ready_when(lambda: answered[0] > 3)
    await asyncio.gather(*[client(address, number) for number in range(3)])


asyncio.run(main())
