"""The Python SDK 2 against one endpoint; the first argument is JSON: url, tool, guarded, arguments, client.

`client` is the id of a client that was registered beforehand; without it the SDK registers one.
"""

import asyncio
import json
import sys

import httpx2
from flow import REDIRECT_URL, MemoryStorage, Person
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata


async def main() -> None:
    job = json.loads(sys.argv[1])
    storage, person = MemoryStorage(), Person()

    async def callback() -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(person.parameters)

    metadata = OAuthClientMetadata(
        client_name="python-2", redirect_uris=[REDIRECT_URL], token_endpoint_auth_method="none"
    )
    if "client" in job:
        storage.client = OAuthClientInformationFull(
            client_id=job["client"], redirect_uris=[REDIRECT_URL], token_endpoint_auth_method="none"
        )
    provider = OAuthClientProvider(job["url"], metadata, storage, person.redirect, callback)
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(job["url"], http_client=http)) as client,
    ):
        before = [tool.name for tool in (await client.list_tools()).tools]
        plain = await client.call_tool(job["tool"], job["arguments"])
        guarded = await client.call_tool(job["guarded"], job["arguments"])
        after = [tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools]
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
