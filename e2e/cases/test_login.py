"""An app's own login in a cluster: one file makes a private app that a real client logs in to."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.apps import App, Mcp, McpError, tool
from e2e.support.process import wait_until
from ftl_operator.cli.main import main
from tests.auth.serving import log_in

PASSWORD = "correct horse"


class Forward:
    """A port of this machine that leads to an app's Service, as `kubectl port-forward` makes it."""

    def __init__(self) -> None:
        self.target: tuple[str, int] | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.target is None:
            writer.close()
            return
        there, back = await asyncio.open_connection(*self.target)
        await asyncio.gather(self._pipe(reader, back), self._pipe(there, writer))

    async def _start(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def start(self) -> None:
        threading.Thread(target=self._loop.run_forever, name="forward", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


@pytest.fixture
def forward() -> Iterator[Forward]:
    made = Forward()
    made.start()
    yield made
    made.stop()


def run(*arguments: object, stdin: str = "") -> str:
    """Run `ftl-operator`; gives its standard output."""
    done = CliRunner().invoke(main, list(map(str, arguments)), input=stdin)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.usefixtures("operator")
def test_one_file_makes_a_private_app_that_a_client_logs_in_to(
    cluster: Cluster, namespace: str, push: Callable[..., str], forward: Forward, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{forward.port}"
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        name="people",
        access="private",
        auth={"login": {"url": url, "users": {"secretRef": {"name": "people", "key": "users"}}}},
    )
    file = tmp_path / "people.yaml"
    file.write_text(yaml.safe_dump(app.manifest))
    run("user", "add", "ann", file, "--password-stdin", stdin=PASSWORD)
    run("login", "secret", "people-login", "--namespace", namespace, "--file", file)

    cluster.kubectl("apply", "--namespace", namespace, "--filename", str(file))
    app.roll_out()
    parts = urlsplit(app.url)
    assert parts.hostname
    forward.target = (parts.hostname, parts.port or 80)
    job = {"url": f"{url}/mcp", "tool": "weather__forecast", "guarded": "weather__forecast", "arguments": {}}
    user = json.dumps({"username": "ann", "password": PASSWORD})
    report = log_in("python-2", job, LOGIN_USER=user)
    assert report["before"] == ["weather__forecast"]
    assert report["registrations"] == 1
    assert not report["plain"].get("isError")
    with pytest.raises(McpError) as refused:
        Mcp(url).tools()
    assert refused.value.status == 401

    spin_app, status = json.dumps(app.spin_app()), json.dumps(app.get())
    keys = yaml.safe_load_all(file.read_text())
    (secret,) = [item for item in keys if item["metadata"]["name"] == "people-login"]
    for key in json.loads(secret["stringData"]["keys"])["keys"]:
        for private in (key["seal"], key["sign"]["d"]):
            assert private not in spin_app + status
    assert "argon2" not in spin_app + status

    before = app.status()["image"]
    run("login", "secret", "people-login", "--rotate", file)
    run("user", "remove", "ann", file)
    run("user", "add", "bob", file, "--password-stdin", stdin="another password")
    cluster.kubectl("apply", "--namespace", namespace, "--filename", str(file))
    wait_until("the new public keys are in the image", lambda: app.status()["image"] != before, 60)
    app.roll_out()
    other = json.dumps({"username": "bob", "password": "another password"})
    assert log_in("typescript-2", job, LOGIN_USER=other)["registrations"] == 1


def test_the_operator_makes_the_keys_where_it_may(
    cluster: Cluster, operator: Operator, namespace: str, push: Callable[..., str]
) -> None:
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        name="people",
        access="private",
        auth={
            "login": {"url": "http://127.0.0.1:1", "users": {"secretRef": {"name": "people", "key": "users"}}}
        },
    )
    line = run("user", "add", "ann", "--password-stdin", stdin=PASSWORD)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "people", "namespace": namespace},
        "stringData": {"users": line},
    }
    cluster.api.apply(secret)
    app.apply()
    told = app.wait("AuthReady", "False", reason="SourceNotFound")
    assert "ftl-operator login secret" in told["message"]
    try:
        operator.install(chart={"login": {"createSecrets": True}})
        app.roll_out()
        made = cluster.api.get("v1", "Secret", "people-login", namespace)
        assert made["metadata"]["ownerReferences"][0]["name"] == "people"
    finally:
        operator.install()
