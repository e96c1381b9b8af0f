"""The client of fastmcp: python fastmcp_4.py URL."""

import asyncio
import json
import sys

from fastmcp import Client


async def main() -> None:
    progress: list[float] = []

    async def step(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with Client(sys.argv[1]) as client:
        tools = [tool.name for tool in await client.list_tools()]
        plain = await client.call_tool_mcp("test_simple_text", {})
        failed = await client.call_tool_mcp("test_error_handling", {})
        await client.call_tool("test_tool_with_progress", {}, progress_handler=step)
    report = {
        "tools": tools,
        "plain": plain.model_dump(mode="json", by_alias=True),
        "failed": failed.model_dump(mode="json", by_alias=True),
        "progress": progress,
    }
    print(json.dumps(report))


asyncio.run(main())
