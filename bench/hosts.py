"""Where the applications run: the embedded host, or a real Spin when one is on PATH."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from bench.apps import App
from ftl_operator.host import Code, HostApp, Limits, Request

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `fuel` has the instructions of each component that took part, the front's last."""

    status: int
    body: bytes
    fuel: tuple[int, ...] = ()


Ask = Callable[[Request], Answer]


@contextmanager
def embedded(app: App, code: Code = Code.FAST) -> Iterator[Ask]:
    """The app on the embedded host, in this process."""
    # A metered component may take a second to compile, so the limit is not the request's.
    host = HostApp(
        app.document,
        app.blob,
        variables=app.variables,
        limits=Limits(time=300),
        log=lambda *_: None,
        code=code,
    )
    host.prepare()

    def ask(request: Request) -> Answer:
        response = host.handle(request)
        body = response.read()
        return Answer(response.status, body, tuple(response.fuel))

    try:
        yield ask
    finally:
        host.close()


@contextmanager
def spin(app: App, *, at_once: bool = False) -> Iterator[Ask]:
    """The app under the `spin` on PATH, through one kept connection on loopback.

    Args:
        app: The app.
        at_once: Whether the client acknowledges every packet at once. Most clients delay that by up to
            40 ms, in the hope of something to send with it; Spin's sockets wait for it with a second packet.

    Raises:
        FileNotFoundError: There is no `spin` on PATH.
        TimeoutError: It does not serve in time.
    """
    if shutil.which("spin") is None:
        raise FileNotFoundError("there is no spin on PATH")
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "spin.toml"
        manifest.write_text(spin_manifest(app), encoding="utf-8")
        port = _free_port()
        command = ["spin", "up", "--quiet", "--from", str(manifest), "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            connection = _connect(process, port)

            def ask(request: Request) -> Answer:
                headers = {name: value.decode("latin-1") for name, value in request.headers}
                connection.request(request.method, request.target, request.body, headers)
                # The kernel goes back to its own choice after each packet.
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, int(at_once))
                response = connection.getresponse()
                return Answer(response.status, response.read())

            yield ask
            connection.close()
        finally:
            process.terminate()
            process.wait(timeout=10)


def spin_manifest(app: App) -> str:
    """The locked application as a Spin manifest, version 2, over the local files."""
    document = app.document
    lines = [
        "spin_manifest_version = 2",
        "",
        "[application]",
        'name = "bench"',
        'version = "1.0.0"',
        "",
        "[variables]",
    ]
    for name, variable in document["variables"].items():
        lines.append(f"{name} = {{ default = {_toml(variable.get('default', ''))} }}")
    for trigger in document["triggers"]:
        route = trigger["trigger_config"]["route"]
        route = _toml(route) if isinstance(route, str) else "{ private = true }"
        component = _toml(trigger["trigger_config"]["component"])
        lines += ["", "[[trigger.http]]", f"route = {route}", f"component = {component}"]
    for component in document["components"]:
        lines += _component(component, app.blob(component["source"]["digest"]))
    return "\n".join(lines) + "\n"


def _component(component: Mapping[str, Any], file: Path) -> list[str]:
    lines = ["", f"[component.{_toml(component['id'])}]", f"source = {_toml(str(file.resolve()))}"]
    lines += [
        f"{key} = [{', '.join(map(_toml, component['metadata'][key]))}]"
        for key in ("allowed_outbound_hosts", "key_value_stores")
        if component["metadata"].get(key)
    ]
    if component.get("config"):
        lines.append(f"[component.{_toml(component['id'])}.variables]")
        lines += [f"{name} = {_toml(value)}" for name, value in component["config"].items()]
    return lines


def _toml(text: str) -> str:
    # A JSON string is a TOML basic string if characters beyond ASCII stay as they are and DEL is escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _connect(process: subprocess.Popen[bytes], port: int) -> HTTPConnection:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, HTTPException):
            connection.close()
            time.sleep(0.05)
        else:
            return connection
    raise TimeoutError(f"spin does not serve on port {port}")
