"""The handler of "tools changed" asks for the list, in the loop that would read the answer.

MCP's SDK: microsoft/agent-framework#4866.
"""

# packages: mcp==1.27.0
# versions: 3.10 3.11 3.13
# wanted: deadlock standstill

import asyncio

import anyio
import case
from mcp.server.fastmcp import Context, FastMCP
from mcp.shared.memory import create_connected_server_and_client_session

server = FastMCP("toolbox")


@server.tool()
async def install(name: str, ctx: Context) -> str:
    await ctx.session.send_tool_list_changed()
    return "installed " + name


class Catalog:
    session = None

    async def refresh(self):
        self.tools = (await self.session.list_tools()).tools  # culprit

    async def on_message(self, message):
        told = type(getattr(message, "root", None)).__name__
        if told == "ToolListChangedNotification":
            await self.refresh()


async def main():
    loop = asyncio.get_running_loop()
    catalog = Catalog()
    connected = create_connected_server_and_client_session(
        server._mcp_server, message_handler=catalog.on_message
    )
    async with connected as session:
        catalog.session = session
        await catalog.refresh()
        case.ready_when(
            lambda: case.waiting(loop, "culprit") == case.waiting(loop, "asks") == 1
        )
        await session.call_tool("install", {"name": "saw"})  # asks


anyio.run(main)
