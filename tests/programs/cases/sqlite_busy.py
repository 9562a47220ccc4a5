"""A task has SQLite's write lock and waits for the network; all who write queue up in threads.

omnilib/aiosqlite#251 and its kind.
"""

# packages: aiosqlite==0.21.0
# packages-3.8: aiosqlite==0.20.0
# wanted: executor-job-stuck lock-convoy
# says: save-
# within: 6

import asyncio
import os
import tempfile

import aiosqlite
import case


async def load(path, address):
    async with aiosqlite.connect(path, isolation_level=None) as database:
        await database.execute("begin immediate")
        await database.execute("insert into notes values (0)")
        reader, writer = await asyncio.open_connection(*address)
        await reader.readline()  # asks
        await database.execute("commit")


async def save(path, number):
    async with aiosqlite.connect(path, timeout=600) as database:
        await database.execute("insert into notes values (?)", (number,))  # culprit
        await database.commit()


async def main():
    loop = asyncio.get_running_loop()
    path = os.path.join(tempfile.mkdtemp(), "notes.db")
    async with aiosqlite.connect(path) as database:
        await database.execute("create table notes (id int)")
        await database.commit()
    importer = asyncio.create_task(load(path, case.silent_server()), name="importer")
    await case.until(lambda: case.waiting(loop, "asks") == 1)
    tasks = [asyncio.create_task(save(path, n), name="save-%d" % n) for n in range(4)]
    case.ready_when(lambda: case.waiting(loop, "culprit") == 4)
    await asyncio.gather(importer, *tasks)


asyncio.run(main())
