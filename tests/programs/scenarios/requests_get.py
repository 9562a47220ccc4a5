"""requests.get in a coroutine, of a server that takes the connection and never answers."""

import asyncio

import requests

import stage

server = stage.silent_server()
url = "http://%s:%d/price" % server


async def handler():
    await asyncio.sleep(0)
    if stage.healthy:
        await asyncio.get_running_loop().run_in_executor(None, cut_off)
        await asyncio.sleep(stage.FOREVER)  # parked
    return requests.get(url)  # culprit


def cut_off():
    try:
        requests.get(url, timeout=0.01)
    except requests.Timeout:
        pass


async def main():
    task = asyncio.create_task(handler(), name="handler")
    if stage.healthy:
        stage.when(stage.resting({task: "parked"}))
    else:
        stage.when(
            lambda: stage.stuck("culprit"),
            lambda: [
                stage.finding(
                    "loop-blocked", "critical", [task], "culprit", "socket", ["%s:%d" % server]
                )
            ],
            held_for=1.1,
        )
    await task


stage.run(main())
