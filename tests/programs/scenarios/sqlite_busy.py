"""Tasks wait for threads of aiosqlite, which wait until another connection ends its transaction."""

import asyncio
import os
import tempfile

import aiosqlite

import stage


async def importer(path):
    async with aiosqlite.connect(path, isolation_level=None) as database:
        while True:
            await database.execute("begin immediate")
            await database.execute("insert into numbers values (0)")
            begun.set()
            if not stage.healthy:
                await asyncio.sleep(stage.FOREVER)
            await database.execute("commit")
            await asyncio.sleep(0.01)


async def save(path, number):
    await begun.wait()
    async with aiosqlite.connect(path, timeout=600, isolation_level=None) as database:
        while True:
            await database.execute("insert into numbers values (?)", (number,))  # waiting
            await asyncio.sleep(0.01)


async def main():
    global begun
    begun = asyncio.Event()
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "numbers.db")
    async with aiosqlite.connect(path) as database:
        await database.execute("create table numbers (number int)")
        await database.commit()
    tasks = [asyncio.create_task(importer(path), name="importer")]
    tasks += [asyncio.create_task(save(path, n), name="save-%d" % n) for n in range(3)]
    if stage.healthy:
        stage.when(begun.is_set, also=["executor-job-stuck"])
    else:
        asyncio.get_running_loop().call_later(3600, print)
        says = ["sqlite3.Connection.execute", "SQLite waits", "3 threads"]
        stage.when(
            stage.resting({task: "waiting" for task in tasks[1:]}),
            lambda: [stage.finding("executor-job-stuck", "warning", tasks[1:], "waiting", says=says)],
            waiting=lambda: [stage.waits(task, "executor") for task in tasks[1:]],
            held_for=stage.STUCK,
        )
    await asyncio.gather(*tasks)


stage.run(main())
