"""Lists and calls tools of two components with the Python SDK 1: python python_1.py URL."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main() -> None:
    async with streamablehttp_client(sys.argv[1]) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        count = await session.call_tool("text__count", {"text": "one two"})
        convert = await session.call_tool("units__convert", {"value": 2, "from": "km", "to": "m"})
    print(json.dumps({"tools": tools, "texts": [count.content[0].text, convert.content[0].text]}))


asyncio.run(main())
