"""The whole OAuth flow of real clients against a real authorization server.

401, metadata, registration, PKCE, token, call, and the step up to another scope. The gateway runs as
`ftl-operator up` serves it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from builds import built
from tests.auth.serving import HERE, authorization_server, free_port, need, serving
from tests.support.command import DEADLINE

pytestmark = pytest.mark.needs("auth-tool", "auth-node", "python-clients")

CLIENTS = HERE / "clients"
RUNNERS = {
    "python-1": ["mcp-1", "client_1.py"],
    "python-2": ["mcp-2", "client_2.py"],
    "typescript-1": ["node", "client-1.mjs"],
    "typescript-2": ["node", "client-2.mjs"],
}


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


@pytest.mark.parametrize("client", RUNNERS)
def test_a_client_logs_in_calls_and_steps_up(world: World, client: str) -> None:
    job = {"url": world.url, "tool": "mail__whoami", "guarded": "mail__send", "arguments": {}}
    program, script = RUNNERS[client]
    if program == "node":
        folder, interpreter = built("auth-node"), need("node")
    else:
        folder, interpreter = CLIENTS, str(built("python-clients") / program / "bin/python")
    run = subprocess.run(
        [interpreter, script, json.dumps(job)],
        cwd=folder,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    report = json.loads(run.stdout.splitlines()[-1])
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
