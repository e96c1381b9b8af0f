"""Real clients log in at the app itself: with its own users, and behind an OpenID Connect provider.

The app runs as `ftl-operator up` serves it, with `login.wasm` composed into it.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builds import built
from ftl_operator.cli.users import user_line
from ftl_operator.manifests.login_secret import jwks_text, keys_text, new_keys
from tests.auth.serving import CLIENTS, RUNNERS, authorization_server, free_port, log_in, serving
from tests.support.command import DEADLINE

pytestmark = pytest.mark.needs("auth-tool", "auth-node", "python-clients")

PASSWORD = "correct horse"
SCOPES = [{"tools": ["send"], "require": ["mail:send"]}]


@dataclass(frozen=True)
class World:
    url: str
    issuer: str
    subject: str


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    keys = new_keys()
    secrets = {
        "auth-tests-login": {"keys": keys_text(keys), "jwks": jwks_text(keys)},
        "people": {"users": f"{user_line('ann', PASSWORD)}\n"},
    }
    spec = {
        "access": "private",
        "auth": {
            "login": {"users": {"secretRef": {"name": "people", "key": "users"}}},
            "requiredScopes": ["mcp:tools"],
        },
    }
    with serving(tmp_path_factory.mktemp("users"), spec, scopes=SCOPES, secrets=secrets) as process:
        url = process.document["url"]
        assert "login" not in process.document, "the file has users, so none is made"
        yield World(url, url.removesuffix("/mcp"), "ann")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    client = {
        "client_id": "ftl",
        "client_secret": "a secret of thirty-two letters or so",
        "redirect_uris": [f"{url}/login/callback"],
        "id_token_signed_response_alg": "RS256",
    }
    email = {"email": "alice@acme.dev", "email_verified": True}
    with authorization_server(None, clients=[client], email=email) as issuer:
        spec = {
            "access": "private",
            "auth": {
                "login": {
                    "upstream": {
                        "issuer": issuer,
                        "clientId": "ftl",
                        "secretRef": {"name": "provider", "key": "secret"},
                    }
                },
                "requiredScopes": ["mcp:tools"],
                "allowedSubjects": ["alice@acme.dev"],
            },
        }
        secrets = {"provider": {"secret": client["client_secret"]}}
        folder = tmp_path_factory.mktemp("upstream")
        with serving(folder, spec, port=port, scopes=SCOPES, secrets=secrets):
            yield World(f"{url}/mcp", url, "alice@acme.dev")


def check(world: World, client: str) -> None:
    # The TypeScript SDK 1 answers a demand for another scope by refreshing its token, which never adds one.
    steps_up = client != "typescript-1"
    guarded = "mail__send" if steps_up else "mail__whoami"
    job = {"url": world.url, "tool": "mail__whoami", "guarded": guarded, "arguments": {}}
    user = json.dumps({"username": "ann", "password": PASSWORD})
    report = log_in(client, job, LOGIN_USER=user)
    assert "mail__send" not in report["before"], "not to be called yet, so not shown"
    assert {"mail__whoami", "mail__delete_all"} <= set(report["before"])
    assert ("mail__send" in report["after"]) is steps_up
    assert report["registrations"] == 1
    first, *others = report["authorizations"]
    assert "mcp:tools" in first.split()
    assert "mail:send" not in first.split()
    if steps_up:
        assert {"mcp:tools", "mail:send"} <= set(others[-1].split()), "the step up loses nothing"
    for call in ("plain", "guarded"):
        headers = dict(json.loads(report[call]["content"][0]["text"])["headers"])
        assert headers["x-auth-subject"] == world.subject
        assert headers["x-auth-issuer"] == world.issuer
    assert "authorization" not in headers, "no token is passed through to a tool"


@pytest.mark.parametrize("client", [name for name in RUNNERS if name != "fastmcp"])
def test_a_client_logs_in_with_a_user_of_the_app(users: World, client: str) -> None:
    check(users, client)


@pytest.mark.parametrize("client", ["typescript-2", "python-2"])
def test_a_client_logs_in_behind_a_provider(upstream: World, client: str) -> None:
    check(upstream, client)


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A program that logs in as a browser would, and calls the client's own address."""
    path = tmp_path / "browser"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CLIENTS}/browser.py" "$@"\n')
    path.chmod(stat.S_IRWXU)
    return path


@pytest.mark.needs("inspector", "mcp-node")
def test_the_mcp_inspector_logs_in_by_its_own_browser(users: World, browser: Path, tmp_path: Path) -> None:
    # It needs a later Node.js than the tests' own.
    node = built("mcp-node") / "node_modules" / "node" / "bin" / "node"
    inspector = built("inspector") / "node_modules" / "@modelcontextprotocol" / "inspector"
    launcher = inspector / "clients" / "launcher" / "build" / "index.js"
    call = ["--method", "tools/call", "--tool-name", "mail__whoami"]
    done = subprocess.run(
        [str(node), str(launcher), "--cli", users.url, "--transport", "http", *call],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "BROWSER": str(browser),
            "LOGIN_USER": json.dumps({"username": "ann", "password": PASSWORD}),
            "MCP_AUTO_OPEN_ENABLED": "true",
            "MCP_INSPECTOR_SECRET_STORE": "memory",
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout[done.stdout.index("{\n") :])
    headers = dict(json.loads(result["content"][0]["text"])["headers"])
    assert headers["x-auth-subject"] == "ann"


def test_fastmcp_logs_in_by_its_own_browser(users: World, browser: Path, tmp_path: Path) -> None:
    job = {"url": users.url, "tool": "mail__whoami", "arguments": {}}
    user = json.dumps({"username": "ann", "password": PASSWORD})
    report = log_in("fastmcp", job, LOGIN_USER=user, BROWSER=f"{browser} %s &", HOME=str(tmp_path))
    headers = dict(json.loads(report["plain"]["content"][0]["text"])["headers"])
    assert headers["x-auth-subject"] == "ann"
