"""The Python SDK 1 against one endpoint; the first argument is JSON: url, tool, guarded, arguments."""

import asyncio
import json
import sys

from flow import REDIRECT_URL, MemoryStorage, Person
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata


async def main() -> None:
    job = json.loads(sys.argv[1])
    storage, person = MemoryStorage(), Person()

    async def callback() -> tuple[str, str | None]:
        return person.parameters["code"], person.parameters.get("state")

    metadata = OAuthClientMetadata(
        client_name="python-1", redirect_uris=[REDIRECT_URL], token_endpoint_auth_method="none"
    )
    provider = OAuthClientProvider(job["url"], metadata, storage, person.redirect, callback)
    async with (
        streamablehttp_client(job["url"], auth=provider) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        before = [tool.name for tool in (await session.list_tools()).tools]
        plain = await session.call_tool(job["tool"], job["arguments"])
        guarded = await session.call_tool(job["guarded"], job["arguments"])
        after = [tool.name for tool in (await session.list_tools()).tools]
    report = {
        "before": before,
        "after": after,
        "plain": plain.model_dump(mode="json", by_alias=True),
        "guarded": guarded.model_dump(mode="json", by_alias=True),
        "registrations": storage.registrations,
        "authorizations": person.authorizations,
    }
    print(json.dumps(report))


asyncio.run(main())
