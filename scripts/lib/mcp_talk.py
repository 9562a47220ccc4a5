"""What an agent would do: find the process that hangs, and ask why.

    mcp_talk.py AIOSPY PROGRAM...

Run by scripts/check-mcp with the client's own interpreter.
"""

import asyncio
import contextlib
import json
import subprocess
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

TOOLS = {"list_processes", "diagnose", "requests", "task", "explain", "watch_for"}


@contextlib.contextmanager
def hanging(program):
    """A program that hangs, with what it says of itself; it ends with its standard input."""
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            truth = json.loads(child.stdout.readline())
            assert child.stdout.readline() == "READY\n"
            yield child, truth
        finally:
            child.kill()


async def talk(session, child, truth):
    async def call(name, fails=False, **arguments):
        result = await session.call_tool(name, arguments)
        (content,) = result.content
        assert bool(result.is_error) == fails, content.text
        return content.text

    told = await session.list_tools()
    assert {tool.name for tool in told.tools} >= TOOLS, told
    assert all(tool.annotations.read_only_hint for tool in told.tools), told

    processes = json.loads(await call("list_processes"))["processes"]
    assert child.pid in [one["process"]["pid"] for one in processes], processes
    document = await call("diagnose", pid=child.pid, wait_seconds=8)
    expected = truth["expect"][0]["code"]
    codes = [finding["code"] for finding in json.loads(document)["findings"]]
    assert expected in codes, codes
    assert "How it is detected" in await call("explain", code=expected)
    document = json.loads(await call("requests", pid=child.pid))
    assert document["counts"]["requests"]["total"] == 0, document
    (main,) = json.loads(await call("task", pid=child.pid, task="Task-1"))
    assert main["name"] == "Task-1" and main["frames"], main
    lines = [json.loads(line) for line in (await call("watch_for", pid=child.pid, seconds=2)).splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("start", "end"), lines
    assert "expected a process id" in await call("diagnose", fails=True, pid=-1)
    assert "no process 999999999" in await call("diagnose", fails=True, pid=999999999)


async def main():
    tool, *program = sys.argv[1:]
    with hanging(program) as (child, truth):
        server = StdioServerParameters(command=tool, args=["mcp"])
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            await talk(session, child, truth)


asyncio.run(main())
