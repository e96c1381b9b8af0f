"""fastmcp against one endpoint, with its own login; the first argument is JSON: url, tool, arguments."""

import asyncio
import json
import sys

from fastmcp import Client


async def main() -> None:
    job = json.loads(sys.argv[1])
    async with Client(job["url"], auth="oauth") as client:
        before = [tool.name for tool in await client.list_tools()]
        plain = await client.call_tool_mcp(job["tool"], job["arguments"])
    print(json.dumps({"before": before, "plain": plain.model_dump(mode="json", by_alias=True)}))


asyncio.run(main())
