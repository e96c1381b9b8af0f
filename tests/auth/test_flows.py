"""The whole OAuth flow of real clients against a real authorization server.

401, metadata, registration, PKCE, token, call, and the step up to another scope. The gateway runs as
`ftl-operator up` serves it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.auth.serving import authorization_server, free_port, log_in, serving

pytestmark = pytest.mark.needs("auth-tool", "auth-node", "python-clients")

CLIENTS = ("python-1", "python-2", "typescript-1", "typescript-2")


@dataclass(frozen=True)
class World:
    url: str
    issuer: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    with authorization_server(resource) as issuer:
        spec = {
            "access": "private",
            "auth": {
                "issuer": issuer,
                "audiences": [resource],
                "requiredScopes": ["mcp:tools"],
                "allowedSubjects": ["alice"],
            },
        }
        scopes = [{"tools": ["send"], "require": ["mail:send"]}]
        with serving(tmp_path_factory.mktemp("flow"), spec, port=port, scopes=scopes):
            yield World(resource, issuer)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_logs_in_calls_and_steps_up(world: World, client: str) -> None:
    job = {"url": world.url, "tool": "mail__whoami", "guarded": "mail__send", "arguments": {}}
    report = log_in(client, job)
    assert "mail__send" not in report["before"], "not to be called yet, so not shown"
    assert {"mail__whoami", "mail__delete_all"} <= set(report["before"])
    assert "mail__send" in report["after"]
    assert report["registrations"] == 1
    first, *others = report["authorizations"]
    assert "mcp:tools" in first.split()
    assert "mail:send" not in first.split()
    assert {"mcp:tools", "mail:send"} <= set(others[-1].split()), "the step up loses nothing"
    for call in ("plain", "guarded"):
        headers = dict(json.loads(report[call]["content"][0]["text"])["headers"])
        assert headers["x-auth-subject"] == "alice"
        assert headers["x-auth-issuer"] == world.issuer
    assert "authorization" not in headers, "no token is passed through to a tool"
