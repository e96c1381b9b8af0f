"""`up` as its user sees it: serving over HTTP, stopping, and `--watch` while a client calls without pause."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.command import QUICKSTART, SCRIPT, Shell, call_tool, list_tools, poll, post
from tests.support.registries import IMAGE_MANIFEST, LiveRegistry, run_registry

APP = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: tools}
spec:
  access: public
  tools:
    - {name: text, image: "file:text.wasm"}
"""
UNITS = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: local}
spec:
  access: public
  tools:
    - name: units
      image: file:units.wasm
      variables:
        - {name: units, valueFrom: {%s: {name: preferences, key: system}}}
"""
CONFIG_MAP = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: preferences}
data: {system: imperial}
"""
PRIVATE = """
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: private}
spec:
  access: private
  auth:
    issuer: https://login.example.com
    audiences: [https://tools.example.com/mcp]
    requiredScopes: [mcp:tools]
    allowedSubjects: [ann@example.com]
  tools:
    - {name: text, image: "file:text.wasm"}
"""
TOOLS = ["text__count", "text__slugify", "text__sort_lines"]


@pytest.fixture
def tools(shell: Shell) -> Shell:
    """A folder with the two prebuilt components."""
    for path in QUICKSTART.glob("*.wasm"):
        (shell.folder / path.name).write_bytes(path.read_bytes())
    return shell


def replace(path: Path, content: bytes) -> None:
    """As editors and compilers do: written beside, and renamed."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


# -- serving and stopping


def test_it_serves_the_quickstart_and_stops_in_order(shell: Shell) -> None:
    with shell.up(QUICKSTART / "ftlapp.yaml") as served:
        said = served.announcement
        assert said["url"].startswith("http://127.0.0.1:")
        assert said["url"].endswith("/mcp")
        assert said["image"].startswith("sha256:")
        assert said["tools"] == [*TOOLS, "units__convert", "units__list_units"]
        assert said["dynamic"] == []
        assert said["client"] == {"mcpServers": {"quickstart": {"type": "http", "url": served.url}}}
        assert list_tools(served.url) == said["tools"]
        result = call_tool(served.url, "units__convert", {"value": 26.2, "from": "mi", "to": "km"})
        assert not result.get("isError")
        assert "42.16" in json.dumps(result)
        refused = call_tool(served.url, "units__convert", {"value": "many", "from": "mi"})
        assert refused["isError"]
        assert "/value" in json.dumps(refused)
    assert json.loads(served.said[-1]) == {"note": "stopped"}


def test_for_people_it_prints_what_to_paste(tools: Shell) -> None:
    tools.write("app.yaml", APP)
    process = subprocess.Popen(
        [str(SCRIPT), "up", "app.yaml", "--port", "0"],
        cwd=tools.folder,
        env=tools.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines: list[str] = []
        while "Ctrl-C stops.\n" not in lines:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            lines.append(line)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert err.endswith("stopped\n")
    finally:
        process.kill()
    text = "".join(lines)
    assert text.startswith("tools serves http://127.0.0.1:")
    assert all(f"\n  {name}\n" in text for name in TOOLS)
    snippet = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert snippet["mcpServers"]["tools"]["url"] in text.splitlines()[0]


def test_sigterm_stops_it_too(tools: Shell) -> None:
    tools.write("app.yaml", APP)
    with tools.up("app.yaml") as served:
        served.stop(signal.SIGTERM, 143)


@pytest.mark.parametrize("numbers", [(signal.SIGTERM,) * 2, (signal.SIGINT, signal.SIGTERM, signal.SIGINT)])
def test_signals_after_the_first_change_nothing(tools: Shell, numbers: tuple[signal.Signals, ...]) -> None:
    tools.write("app.yaml", APP)
    with tools.up("app.yaml") as served:
        for number in numbers[:-1]:
            os.kill(served.process.pid, number)
        served.stop(numbers[-1], 143 if numbers[0] is signal.SIGTERM else 0)


def test_ctrl_c_with_a_call_and_an_idle_connection_under_way(tools: Shell) -> None:
    tools.write("app.yaml", APP)
    with tools.up("app.yaml") as served:
        parts = urlsplit(served.url)
        idle = http.client.HTTPConnection(parts.hostname, parts.port)
        idle.request("GET", "/healthz")
        assert idle.getresponse().read() is not None
        half = socket.create_connection((parts.hostname, parts.port))
        half.sendall(b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    idle.close()
    half.close()


def test_a_taken_port_is_told_before_anything_is_composed(tools: Shell) -> None:
    # The component is none, which composing would find out.
    tools.write("app.yaml", APP)
    (tools.folder / "text.wasm").write_bytes(b"not wasm")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = tools.run("up", "app.yaml", "--port", port, "-o", "json")
    assert (done.code, done.out, done.error["reason"]) == (65, "", "Conflict")
    assert done.error["message"] == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another with --port"
    )


def test_an_address_that_is_not_here_is_told(tools: Shell) -> None:
    tools.write("app.yaml", APP)
    done = tools.run("up", "app.yaml", "--address", "192.0.2.1", "-o", "json")
    assert done.code == 65
    assert "cannot listen on 192.0.2.1:3000" in done.error["message"]


def test_standard_input(tools: Shell) -> None:
    process = subprocess.Popen(
        [str(SCRIPT), "up", "-", "--port", "0", "-o", "json"],
        cwd=tools.folder,
        env=tools.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdin.write(APP)
        process.stdin.close()
        assert list_tools(json.loads(process.stdout.readline())["url"]) == TOOLS
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_two_apps_of_one_name_do_not_serve_each_other(tools: Shell, tmp_path: Path) -> None:
    tools.write("app.yaml", APP)
    other = Shell(tmp_path / "other", tools.environment)
    other.folder.mkdir()
    (other.folder / "units.wasm").write_bytes((QUICKSTART / "units.wasm").read_bytes())
    other.write("app.yaml", APP.replace("text", "units"))
    with tools.up("app.yaml") as first, other.up("app.yaml") as second:
        assert list_tools(first.url) == TOOLS
        assert list_tools(second.url) == ["units__convert", "units__list_units"]


def test_a_cache_that_cannot_be_written_is_told(tools: Shell) -> None:
    tools.write("app.yaml", APP)
    tools.write("file", "")
    done = tools.run("up", "app.yaml", "--port", "0", "-o", "json", XDG_CACHE_HOME=str(tools.folder / "file"))
    assert (done.code, done.error["reason"]) == (65, "LocalFailure")
    assert "file/ftl-operator" in done.error["message"]


# -- values


def test_variables_come_from_the_first_place_that_has_them(tools: Shell) -> None:
    tools.write("app.yaml", UNITS % "configMapKeyRef" + CONFIG_MAP)

    def converted(*arguments: str, **environment: str) -> str:
        with tools.up("app.yaml", *arguments, **environment) as served:
            result = call_tool(served.url, "units__convert", {"value": 1, "from": "km"})
        return str(result["content"][0]["text"])

    assert converted().endswith(" ft")
    assert converted(SPIN_VARIABLE_UNITS_UNITS="metric") == "1000 m"
    assert converted("--variable", "units_units=imperial", SPIN_VARIABLE_UNITS_UNITS="metric").endswith(" ft")


def test_a_missing_value_is_told_with_every_way_to_give_it(tools: Shell) -> None:
    tools.write("app.yaml", UNITS % "secretKeyRef")
    done = tools.run("up", "app.yaml", "-o", "json")
    assert (done.code, done.error["reason"]) == (65, "SourceNotFound")
    for way in ("same file", "SPIN_VARIABLE_UNITS_UNITS", "--variable units_units=VALUE"):
        assert way in done.error["message"]
    done = tools.run("up", "app.yaml", "--variable", "units=hush-hush", "-o", "json")
    assert done.code == 65
    assert "no variable 'units'; it has: units_units" in done.error["message"]
    assert "hush-hush" not in done.err


@pytest.mark.parametrize("form", ["data", "stringData"])
def test_a_secret_s_value_is_used_and_never_shown(tools: Shell, caches: Path, form: str) -> None:
    secret = "hush-hush-4711"
    value = base64.b64encode(secret.encode()).decode() if form == "data" else secret
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "preferences"},
        form: {"system": value},
    }
    tools.write("app.yaml", UNITS % "secretKeyRef" + "---\n" + yaml.safe_dump(document))
    with tools.up("app.yaml", "--watch") as served:
        result = call_tool(served.url, "units__convert", {"value": 1, "from": "km"})
        tools.write(
            "app.yaml", (tools.folder / "app.yaml").read_text().replace("kind: FtlApp", "kind: FtlOpp")
        )
        served.wait_for("the last good version keeps serving")
    rendered = tools.run("render", "app.yaml", "--repository", "registry.example.com/acme/x")
    said = json.dumps([result, served.announcement, served.said, rendered.out, rendered.err])
    # The tool knows no such system and falls back or says so; the value itself must not leave.
    assert secret not in said.replace(json.dumps(result), "")
    for path in (caches / "ftl-operator" / "up").rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_the_value_of_a_secret_is_not_in_the_arguments_of_any_process(tools: Shell) -> None:
    secret = "hush-hush-4712"
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "preferences"},
        "stringData": {"system": secret},
    }
    tools.write("app.yaml", UNITS % "secretKeyRef" + "---\n" + yaml.safe_dump(document))
    with tools.up("app.yaml"):
        lines = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                lines.append((entry / "cmdline").read_bytes())
    assert lines
    assert not [line for line in lines if secret.encode() in line]


# -- watching


class Client:
    """Calls without pause from several threads, and keeps every failed answer."""

    def __init__(self, url: str, name: str, arguments: dict[str, object]) -> None:
        self._url, self._name, self._arguments = url, name, arguments
        self._stop = threading.Event()
        self.texts: set[str] = set()
        self.count = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._work) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                result = call_tool(self._url, self._name, self._arguments)
                self.count += 1
                self.texts.add(json.dumps(result.get("content")))
                if result.get("isError"):
                    self.failures.append(json.dumps(result))
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")


def test_watch_takes_up_changes_without_losing_a_request(tools: Shell) -> None:
    app = tools.write("app.yaml", APP)
    text = (tools.folder / "text.wasm").read_bytes()
    arguments = {"text": "one two"}
    with tools.up("app.yaml", "--watch") as served:
        first = served.announcement["image"]
        with Client(served.url, "text__count", arguments) as client:
            poll(lambda: client.count > 3, "the first calls")
            # The FtlApp gains a tool.
            replace(app, (APP + '    - {name: units, image: "file:units.wasm"}\n').encode())
            second = served.next_announcement()
            served.wait_for("(+units__convert, +units__list_units)")
            assert second["url"] == served.url
            assert second["image"] != first
            assert list_tools(served.url) == [*TOOLS, "units__convert", "units__list_units"]
            # A component is built anew: a custom section makes it another one that does the same.
            replace(tools.folder / "text.wasm", text + b"\0\x05\x04note")
            third = served.next_announcement()
            assert third["image"] not in (first, second["image"])
            # And back, written in place and in two steps, as some tools do.
            with (tools.folder / "text.wasm").open("wb") as file:
                file.write(text[: len(text) // 2])
                file.flush()
                file.write(text[len(text) // 2 :])
            assert served.next_announcement()["image"] == second["image"]
            before = client.count
            poll(lambda: client.count > before + 3, "calls of the last version")
        assert client.failures == []
        assert len(client.texts) == 1
    assert [line for line in served.said if "error" in line] == []


def test_a_broken_edit_keeps_the_last_good_version(tools: Shell) -> None:
    app = tools.write("app.yaml", APP)
    text = (tools.folder / "text.wasm").read_bytes()
    with tools.up("app.yaml", "--watch") as served:
        image = served.announcement["image"]
        for content, said in (
            ("a: [", "is not YAML"),
            (APP.replace("public", "open"), "spec.access"),
            (APP.replace("file:text", "file:later"), "later.wasm cannot be read"),
        ):
            served.said.clear()
            replace(app, content.encode())
            served.wait_for(said)
            served.wait_for("the last good version keeps serving")
            assert list_tools(served.url) == TOOLS
        # The component that was missing comes, without another change of the FtlApp.
        replace(tools.folder / "later.wasm", text + b"\0\x05\x04late")
        assert served.next_announcement()["image"] != image
        served.said.clear()
        replace(tools.folder / "later.wasm", b"not wasm")
        served.wait_for("not a WebAssembly binary")
        assert list_tools(served.url) == TOOLS
        served.said.clear()
        app.unlink()
        served.wait_for("cannot be read: No such file")
        assert list_tools(served.url) == TOOLS
        replace(app, APP.encode())
        assert served.next_announcement()["image"] == image


def test_a_touch_is_no_change(tools: Shell) -> None:
    app = tools.write("app.yaml", APP)
    with tools.up("app.yaml", "--watch") as served:
        os.utime(app)
        replace(app, APP.encode() + b"# a comment\n")
        served.wait_for("nothing changes: still serving sha256:")
        replace(app, APP.replace("metadata: {name: tools}", "metadata: {name: tools2}").encode())
        assert served.next_announcement()["client"]["mcpServers"].keys() == {"tools2"}
    assert sum("now serving" in line for line in served.said) == 1


# -- access


def test_a_local_issuer_lets_in_who_has_its_token(tools: Shell) -> None:
    tools.write("app.yaml", PRIVATE)
    with tools.up("app.yaml", "--dev-issuer") as served:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        status, _ = post(served.url, message)
        assert status == 401
        assert post(served.url, message, {"Authorization": "Bearer x.y.z"})[0] == 401
        served.wait_for("refused POST /mcp with 401: no token")
        served.wait_for("refused POST /mcp with 401: invalid_token")
        printed = served.announcement["client"]["mcpServers"]["private"]["headers"]
        assert list_tools(served.url, printed) == TOOLS
        for arguments, expected in (
            ((), 200),
            (("--subject", "eve@example.com"), 403),
            (("--audience", "https://elsewhere.example.com"), 401),
            (("--scope", "other"), 403),
            (("--claim", "iss=https://login.example.com"), 401),
        ):
            token = tools.ok("token", "app.yaml", *arguments).out.strip()
            status, _ = post(served.url, message, {"Authorization": f"Bearer {token}"})
            assert status == expected, arguments
        document = tools.ok("token", "app.yaml", "-o", "json").document
        assert list_tools(served.url, {"Authorization": f"Bearer {document['token']}"}) == TOOLS
    key = Path(tools.environment["XDG_STATE_HOME"]) / "ftl-operator" / "issuer" / "issuer-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_without_a_local_issuer_the_spec_s_own_is_asked(tools: Shell) -> None:
    tools.write("app.yaml", PRIVATE.replace("https://login.example.com", "http://127.0.0.1:1"))
    done = tools.run("up", "app.yaml", "-o", "json")
    assert (done.code, done.error["reason"]) == (69, "IssuerUnavailable")
    assert "127.0.0.1:1" in done.error["message"]


# -- key-value stores


def test_state_lasts_where_it_is_told_to(tools: Shell, tmp_path: Path) -> None:
    tools.write("app.yaml", APP)
    with tools.up("app.yaml", "--state-dir", tmp_path / "kept") as served:
        assert list_tools(served.url) == TOOLS
    assert list((tmp_path / "kept").rglob("*.sqlite"))


def test_apps_share_a_state_folder_and_not_their_state(tools: Shell, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for name in ("one", "two"):
        tools.write(f"{name}.yaml", APP.replace("name: tools", f"name: {name}"))
        with tools.up(f"{name}.yaml", "--state-dir", kept) as served:
            assert list_tools(served.url) == TOOLS
    stores = {path.relative_to(kept).parts[:2] for path in kept.rglob("*.sqlite")}
    assert stores == {("default", "one"), ("default", "two")}
    other = tools.folder / "other"
    other.mkdir()
    (other / "text.wasm").write_bytes((tools.folder / "text.wasm").read_bytes())
    tools.write("other/one.yaml", APP.replace("name: tools", "name: one"))
    refused = tools.run("up", "other/one.yaml", "--state-dir", kept, "--port", "0", "-o", "json")
    assert (refused.code, refused.error["reason"]) == (65, "Conflict")
    assert "one.yaml, which is another app of this name" in refused.error["message"]
    (tools.folder / "one.yaml").rename(tools.folder / "moved.yaml")
    with tools.up("moved.yaml", "--state-dir", kept) as served:
        assert list_tools(served.url) == TOOLS


# -- `--host spin`, of which only what it is given is ours


FAKE_SPIN = """#!/usr/bin/env python3
import json, os, sys
taken = {name: value for name, value in os.environ.items() if name.startswith("SPIN_VARIABLE_")}
json.dump({"arguments": sys.argv[1:], "variables": taken}, open(os.environ["RECORD"], "w"))
sys.exit(7)
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LiveRegistry]:
    with run_registry(tmp_path / "registry") as live:
        yield live


def test_spin_gets_the_published_app_and_its_values(tools: Shell, registry: LiveRegistry) -> None:
    programs = tools.folder / "bin"
    programs.mkdir()
    (programs / "spin").write_text(FAKE_SPIN)
    (programs / "spin").chmod(0o755)
    record = tools.folder / "record.json"
    publish = f"  publish: {{repository: {registry.host}/acme/tools}}\n"
    tools.write("app.yaml", UNITS % "configMapKeyRef" + publish + CONFIG_MAP)
    path = f"{programs}:{tools.environment['PATH']}"
    options = ("--host", "spin", "--port", "3999", "--plain-http", registry.host, "--state-dir", "kept")
    done = tools.run("up", "app.yaml", *options, "-o", "json", PATH=path, RECORD=str(record))
    assert done.code == 7, done.err
    recorded = json.loads(record.read_text())
    image = done.document["image"]
    assert image.startswith(f"{registry.host}/acme/tools")
    assert "@sha256:" in image
    assert recorded["arguments"] == [
        "up", "--from", image, "--listen", "127.0.0.1:3999", "--state-dir", "kept/default/local", "--insecure"
    ]  # fmt: skip
    # The gateway's store is sealed by a key of this run alone.
    assert len(bytes.fromhex(recorded["variables"].pop("SPIN_VARIABLE_GATEWAY_SEALING_KEY"))) == 32
    assert recorded["variables"] == {"SPIN_VARIABLE_UNITS_UNITS": "imperial"}
    assert done.document["client"]["mcpServers"]["local"]["url"] == "http://127.0.0.1:3999/mcp"
    accept = {"Accept": IMAGE_MANIFEST}
    found = registry.request("GET", "acme/tools", f"manifests/{image.partition('@')[2]}", headers=accept)
    assert found.status_code == 200


def test_spin_gets_a_login_that_works_on_this_machine(tools: Shell, registry: LiveRegistry) -> None:
    programs = tools.folder / "bin"
    programs.mkdir()
    (programs / "spin").write_text(FAKE_SPIN)
    (programs / "spin").chmod(0o755)
    record = tools.folder / "record.json"
    login = "  auth: {login: {users: {secretRef: {name: people, key: users}}}}\n"
    publish = f"  publish: {{repository: {registry.host}/acme/people}}\n"
    tools.write("app.yaml", APP.replace("access: public", "access: private") + login + publish)
    path = f"{programs}:{tools.environment['PATH']}"
    options = ("--host", "spin", "--port", "3999", "--plain-http", registry.host)
    done = tools.run("up", "app.yaml", *options, "-o", "json", PATH=path, RECORD=str(record))
    assert done.code == 7, done.err
    variables = json.loads(record.read_text())["variables"]
    assert json.loads(variables["SPIN_VARIABLE_GATEWAY_LOGIN_KEYS"])["version"] == 1
    made = done.document["login"]
    assert variables["SPIN_VARIABLE_GATEWAY_LOGIN_USERS"].startswith(f"{made['user']} $argon2id$")
    accept = {"Accept": IMAGE_MANIFEST}
    found = registry.request(
        "GET", "acme/people", f"manifests/{done.document['image'].partition('@')[2]}", headers=accept
    )
    assert len(found.json()["layers"]) == 4, "the gateway, the login, the tool, and the application"


def test_spin_must_be_there_and_know_where_to_publish(tools: Shell) -> None:
    tools.write("app.yaml", APP)
    done = tools.run("up", "app.yaml", "--host", "spin", "-o", "json", PATH="/nonexistent")
    assert (done.code, done.error["message"]) == (
        65,
        "--host spin needs 'spin' on PATH; without it, use the embedded host",
    )
    programs = tools.folder / "bin"
    programs.mkdir()
    (programs / "spin").symlink_to("/bin/true")
    path = f"{programs}:{tools.environment['PATH']}"
    done = tools.run("up", "app.yaml", "--host", "spin", "-o", "json", PATH=path)
    assert (done.code, done.error["field"]) == (65, "spec.publish.repository")
