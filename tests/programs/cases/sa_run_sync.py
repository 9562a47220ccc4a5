"""Code that was given to SQLAlchemy's run_sync asks a silent server, on the loop's thread.

It runs in a greenlet: cf. xorbitsai/xagent#935.
"""

# packages: sqlalchemy==2.0.43 aiosqlite==0.20.0 greenlet
# versions: 3.8-3.13
# wanted: loop-blocked
# says: recv
# within: 3

import asyncio
import os
import socket
import tempfile

import case
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

address = case.silent_server()


def migrate(connection):
    connection.execute(sqlalchemy.text("create table notes (id int)"))
    with socket.create_connection(address) as licences:
        licences.recv(100)  # culprit


async def health():
    while True:
        await asyncio.sleep(0.1)


async def main():
    case.keep(asyncio.create_task(health(), name="health"))
    path = os.path.join(tempfile.mkdtemp(), "notes.db")
    engine = create_async_engine("sqlite+aiosqlite:///" + path)
    case.ready_when(lambda: case.stuck("culprit"), says=lambda: [case.peer(address)])
    async with engine.begin() as connection:
        await connection.run_sync(migrate)


asyncio.run(main())
