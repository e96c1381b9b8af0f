"""Lists and calls tools of two components with the Python SDK 2: python python_2.py URL."""

import asyncio
import json
import sys

from mcp.client import Client


async def main() -> None:
    async with Client(sys.argv[1]) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        count = await client.call_tool("text__count", {"text": "one two"})
        convert = await client.call_tool("units__convert", {"value": 2, "from": "km", "to": "m"})
    print(json.dumps({"tools": tools, "texts": [count.content[0].text, convert.content[0].text]}))


asyncio.run(main())
