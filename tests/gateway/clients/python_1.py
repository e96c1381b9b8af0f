"""The Python SDK 1: python python_1.py URL."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main() -> None:
    progress: list[float] = []

    async def step(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with streamablehttp_client(sys.argv[1]) as (read, write, _), ClientSession(read, write) as session:
        server = (await session.initialize()).serverInfo.name
        tools = [tool.name for tool in (await session.list_tools()).tools]
        plain = await session.call_tool("test_simple_text", {})
        failed = await session.call_tool("test_error_handling", {})
        await session.call_tool("test_tool_with_progress", {}, progress_callback=step)
    report = {
        "server": server,
        "tools": tools,
        "plain": plain.model_dump(mode="json", by_alias=True),
        "failed": failed.model_dump(mode="json", by_alias=True),
        "progress": progress,
    }
    print(json.dumps(report))


asyncio.run(main())
