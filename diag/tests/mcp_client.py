"""Lists the tools of an MCP endpoint with the official SDK and asks each named node through it.

usage: mcp_client.py URL NODE...       (pip install mcp)

Exits with a message and status 1 when a tool lacks a schema or an answer is not what it should be.
"""

import asyncio
import sys

import mcp
from mcp.client.streamable_http import streamable_http_client


def want(condition, text):
    if not condition:
        sys.exit(text)


async def main(url, nodes):
    async with streamable_http_client(url) as streams:
        async with mcp.ClientSession(*streams[:2]) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            dumped = [tool.model_dump(by_alias=True) for tool in tools]
            for tool in dumped:
                want(tool["inputSchema"]["type"] == "object", f"{tool['name']}: no input schema")
                want(tool["outputSchema"]["type"] == "object", f"{tool['name']}: no output schema")
            print(f"{len(tools)} tools: {', '.join(tool['name'] for tool in dumped)}")
            for node in nodes:
                info = await ask(session, "node_info", {"node": node})
                want(info["Name"] == node, f"{node}: answered as {info['Name']}")
                query = {"node": node, "sort_by": "messages_in", "limit": 5}
                rows = (await ask(session, "process_list", query))["items"]
                counts = [row["MessagesIn"] for row in rows]
                want(counts == sorted(counts, reverse=True) and 0 < len(rows) <= 5, f"{node}: {counts}")
                process = await ask(session, "process_info", {"node": node, "pid": rows[0]["PID"]})
                want(process["PID"] == rows[0]["PID"] and "LinksPID" in process, f"{node}: {process}")
                print(f"{node}: {info['ProcessesTotal']} processes, up {info['Uptime']} s, messages in {counts}")


async def ask(session, tool, arguments):
    result = (await session.call_tool(tool, arguments)).model_dump(by_alias=True)
    want(not result["isError"], f"{tool} {arguments}: {result['content']}")
    return result["structuredContent"]


asyncio.run(main(sys.argv[1], sys.argv[2:]))
