"""Three tasks have all connections of a pool and wait for a silent server; forty want one.

asyncpg, in hushh-labs/hushh-research#5871.
"""

# packages: asyncpg==0.31.0
# packages-3.8: asyncpg==0.30.0
# packages-3.15: asyncpg==0.32.0
# needs: postgresql
# wanted: pool-exhausted
# says: verify
# within: 6

import asyncio
import os

import asyncpg
import case


async def verify_phone(pool, address):
    async with pool.acquire() as connection:
        await connection.execute("select 1")
        reader, writer = await asyncio.open_connection(*address)
        await reader.readline()  # culprit


async def request(pool):
    async with pool.acquire() as connection:  # waits
        await connection.fetchval("select 1")


async def main():
    loop = asyncio.get_running_loop()
    address = case.silent_server()
    pool = await asyncpg.create_pool(os.environ["PG_DSN"], min_size=1, max_size=3)
    tasks = [
        asyncio.create_task(verify_phone(pool, address), name="verify-phone-%d" % n)
        for n in range(3)
    ]
    await case.until(lambda: case.waiting(loop, "culprit") == 3)
    tasks += [asyncio.create_task(request(pool), name="request-%d" % n) for n in range(40)]
    case.ready_when(
        lambda: case.waiting(loop, "waits") == 40, says=lambda: [case.peer(address)]
    )
    await asyncio.gather(*tasks)


asyncio.run(main())
