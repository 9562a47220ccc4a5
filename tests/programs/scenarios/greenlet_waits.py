"""Two tasks wait for each other's end, in synchronous code that runs in greenlets."""

import asyncio

import greenlet

import stage

import bridge

tasks = {}


def flush():
    bridge.await_(asyncio.sleep(0))
    greenlet.getcurrent().parent.switch(tasks["reader"])  # writer waits


def refresh():
    bridge.await_(asyncio.sleep(0))
    greenlet.getcurrent().parent.switch(tasks["writer"])  # reader waits


async def writer():
    await bridge.spawn(flush)  # writer


async def reader():
    await bridge.spawn(refresh)  # reader


async def main():
    for function in (writer, reader):
        name = function.__name__
        tasks[name] = asyncio.create_task(function(), name=name)
    both = [tasks["writer"], tasks["reader"]]
    stage.when(
        stage.resting({both[0]: "writer", both[1]: "reader"}),
        lambda: [stage.finding("deadlock", "critical", both, ["writer waits", "reader waits"])],
        waiting=lambda: [stage.waits(both[0], "task", [both[1]])],
    )
    await stage.forever()


stage.run(main())
