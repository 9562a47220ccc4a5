"""Each request has a connection of the pool and wants a second one, for the audit log.

SQLAlchemy with asyncpg; the shape of MagicStack/asyncpg#5 and aio-libs/aiopg#113.
"""

# packages: sqlalchemy==2.0.43 asyncpg==0.31.0 greenlet
# packages-3.8: sqlalchemy==2.0.43 asyncpg==0.30.0 greenlet
# versions: 3.8-3.13
# needs: postgresql
# wanted: deadlock pool-exhausted
# says: transfer-

import asyncio
import os

import case
import sqlalchemy
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

begun = []


async def audit(sessions):
    async with sessions() as session:
        await session.execute(sqlalchemy.text("select 1"))  # culprit


async def transfer(sessions):
    async with sessions() as session:
        await session.execute(sqlalchemy.text("select 2"))
        begun.append(session)
        while len(begun) < 3:
            await asyncio.sleep(0.01)
        await audit(sessions)


async def late(sessions):
    async with sessions() as session:
        await session.execute(sqlalchemy.text("select 3"))  # waits


async def main():
    loop = asyncio.get_running_loop()
    url = os.environ["PG_DSN"].replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url, pool_size=2, max_overflow=1, pool_timeout=600)
    sessions = async_sessionmaker(engine)
    tasks = [asyncio.create_task(transfer(sessions), name="transfer-%d" % n) for n in range(3)]
    await case.until(lambda: case.waiting(loop, "culprit") == 3)
    tasks += [asyncio.create_task(late(sessions), name="late-%d" % n) for n in range(5)]
    case.ready_when(lambda: case.waiting(loop, "waits") == 5)
    await asyncio.gather(*tasks)


asyncio.run(main())
