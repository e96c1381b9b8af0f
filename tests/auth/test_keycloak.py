"""Real clients log in at a real Keycloak, with the realm that the documentation shows."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.auth.keycloak_server import ALICE, AUDIENCE, PASSWORD, Keycloak, keycloak
from tests.auth.serving import free_port, log_in, serving, try_to_log_in
from tests.support.command import DEADLINE

pytestmark = pytest.mark.needs("keycloak", "auth-tool", "auth-node", "python-clients")

SCOPES = [{"tools": ["send"], "require": ["mail:send"]}]


@dataclass(frozen=True)
class World:
    """An app behind the server, and the lines that its operator sees."""

    url: str
    server: Keycloak
    log: list[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    with keycloak(tmp_path_factory.mktemp("keycloak")) as running:
        yield running


def app(server: Keycloak, folder: Path, spec: dict[str, object]) -> Iterator[World]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    auth = {"issuer": server.issuer, "audiences": [url, AUDIENCE], "requiredScopes": ["mcp:tools"]}
    full = {**spec, "auth": {**auth, **spec["auth"]}}  # type: ignore[dict-item]
    with serving(folder, full, port=port, scopes=SCOPES) as process:
        yield World(url, server, process.errors)


@pytest.fixture(scope="module")
def private(server: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    spec: dict[str, object] = {"access": "private", "auth": {"allowedSubjects": [ALICE]}}
    yield from app(server, tmp_path_factory.mktemp("private"), spec)


@pytest.fixture(scope="module")
def org(server: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    organization = {"claim": "organization", "value": "acme"}
    # Keycloak adds the claim only where the scope of this name is asked for.
    auth = {"organization": organization, "advertisedScopes": ["mcp:tools", "organization"]}
    spec: dict[str, object] = {"access": "org", "auth": auth}
    yield from app(server, tmp_path_factory.mktemp("org"), spec)


def job(world: World, guarded: str = "mail__whoami", **more: str) -> dict[str, object]:
    return {"url": world.url, "tool": "mail__whoami", "guarded": guarded, "arguments": {}, **more}


def person(name: str) -> str:
    return json.dumps({"username": name, "password": PASSWORD})


@pytest.mark.parametrize("client", ["python-2", "typescript-2"])
def test_a_client_registers_itself_and_its_person_logs_in(private: World, client: str) -> None:
    report = log_in(client, job(private), LOGIN_USER=person("alice"))
    assert report["registrations"] == 1
    assert "mail__send" not in report["after"], "the realm gave no such scope"
    headers = dict(json.loads(report["plain"]["content"][0]["text"])["headers"])
    assert headers["x-auth-subject"] == ALICE
    assert headers["x-auth-issuer"] == private.server.issuer


def test_a_registered_client_steps_up_for_a_tool(private: World) -> None:
    # A client that registers itself with the scope of its first request gets no other scope of Keycloak.
    private.server.add_client(
        {
            "clientId": "editor",
            "publicClient": True,
            "redirectUris": ["http://127.0.0.1:1/callback"],
            "attributes": {"pkce.code.challenge.method": "S256"},
        }
    )
    report = log_in("python-2", job(private, "mail__send", client="editor"), LOGIN_USER=person("alice"))
    first, *others = report["authorizations"]
    assert "mail:send" not in first.split()
    assert {"mcp:tools", "mail:send"} <= set(others[-1].split())
    assert "mail__send" in report["after"]
    assert "mail__send" not in report["before"]


def test_members_of_an_organization_may_call_and_others_may_not(org: World) -> None:
    report = log_in("python-2", job(org), LOGIN_USER=person("alice"))
    assert "mail__whoami" in report["before"]
    refused = try_to_log_in("python-2", job(org), LOGIN_USER=person("bob"))
    assert refused.returncode != 0
    assert any("refused POST /mcp with 403" in line for line in org.log), org.log


def test_a_new_key_signs_in_the_middle_of_a_run(private: World) -> None:
    before = private.server.key_ids()
    log_in("python-2", job(private), LOGIN_USER=person("alice"))
    private.server.add_signing_key()
    assert private.server.key_ids() > before
    # The gateway asks for the keys again when it meets an unknown one, at most every half minute.
    deadline = time.monotonic() + DEADLINE
    while True:
        run = try_to_log_in("python-2", job(private), LOGIN_USER=person("alice"))
        if run.returncode == 0:
            break
        assert time.monotonic() < deadline, run.stderr[-2000:]


def test_a_person_logs_in_at_the_apps_own_login_behind_it(server: Keycloak, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    secret = "a secret of the login at its provider"
    client = {"clientId": "login", "secret": secret, "redirectUris": [f"{url}/login/callback"]}
    server.add_client(client)
    upstream = {
        "issuer": server.issuer,
        "clientId": "login",
        "secretRef": {"name": "provider", "key": "secret"},
    }
    auth = {"login": {"upstream": upstream}, "allowedSubjects": ["alice@acme.dev"]}
    secrets = {"provider": {"secret": secret}}
    with serving(tmp_path, {"access": "private", "auth": auth}, port=port, scopes=SCOPES, secrets=secrets):
        world = World(f"{url}/mcp", server, [])
        report = log_in("python-2", job(world, "mail__send"), LOGIN_USER=person("alice"))
        assert "mail__send" in report["after"], "the login, unlike Keycloak, lets the client step up"
        headers = dict(json.loads(report["plain"]["content"][0]["text"])["headers"])
        assert headers["x-auth-subject"] == "alice@acme.dev"
        assert headers["x-auth-issuer"] == url
        assert try_to_log_in("python-2", job(world), LOGIN_USER=person("bob")).returncode != 0
