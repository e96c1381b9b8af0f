"""An FtlApp served by `ftl-operator up` with the tool in `tool/`, and an authorization server beside it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from builds import built, built_wasm
from tests.support.command import DEADLINE

HERE = Path(__file__).resolve().parent
START_SECONDS = 600
"""A first start compiles the gateway; many times what that takes."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Process:
    """A child that announced itself with one JSON document on standard output."""

    document: Mapping[str, Any]
    child: subprocess.Popen[str]
    errors: list[str]


@contextmanager
def running(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run a command until the body ends; it must print a JSON document when it serves."""
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | dict(environment or {}),
    )
    assert child.stdout is not None
    assert child.stderr is not None
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(child.stderr or ()), daemon=True)
    reader.start()
    timer = threading.Timer(START_SECONDS, child.kill)
    timer.start()
    try:
        text = ""
        document = None
        for line in child.stdout:
            text += line
            try:
                document = json.loads(text)
                break
            except ValueError:
                continue
        timer.cancel()
        if document is None:
            child.wait(10)
            reader.join(5)
            raise AssertionError(f"{command[0]} did not start: {text}{''.join(errors)}")
        yield Process(document, child, errors)
    finally:
        timer.cancel()
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def serving(
    directory: Path,
    spec: Mapping[str, Any],
    *options: str,
    port: int = 0,
    scopes: Sequence[Mapping[str, Any]] = (),
    secrets: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Process]:
    """Serve an app with the tests' tool as its components `mail` and `files`; `scopes` are of `mail`.

    `secrets` are the values of Secrets beside it, by name and key.
    """
    tool = f"file:{built_wasm('auth_test_tool')}"
    tools: list[dict[str, Any]] = [{"name": "mail", "image": tool}, {"name": "files", "image": tool}]
    if scopes:
        tools[0]["scopes"] = list(scopes)
    document = {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "auth-tests", "namespace": "tests"},
        "spec": {"tools": tools, **spec},
    }
    file = directory / "ftlapp.yaml"
    objects = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(values)}
        for name, values in (secrets or {}).items()
    ]
    file.write_text(yaml.safe_dump_all([document, *objects]), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ftl-operator")), "up", str(file), "--port", str(port)]
    with running([*command, "--output", "json", *options]) as process:
        yield process


@contextmanager
def authorization_server(
    resource: str | None, port: int = 0, key_id: str = "key-1", **options: object
) -> Iterator[str]:
    """Run oidc-provider; gives the issuer's URL."""
    job = {
        "port": port,
        "scopes": ["mcp:tools", "mail:send"],
        "subject": "alice",
        "keyId": key_id,
        "resource": resource,
        **options,
    }
    script = built("auth-node") / "authorization-server.mjs"
    with running([need("node"), str(script), json.dumps(job)]) as process:
        yield str(process.document["issuer"])


CLIENTS = HERE / "clients"
RUNNERS = {
    "python-1": ["mcp-1", "client_1.py"],
    "python-2": ["mcp-2", "client_2.py"],
    "typescript-1": ["node", "client-1.mjs"],
    "typescript-2": ["node", "client-2.mjs"],
    "fastmcp": ["fastmcp", "client_fastmcp.py"],
}
"""The clients that log in: their environments and scripts."""


def log_in(client: str, job: Mapping[str, Any], **environment: str) -> dict[str, Any]:
    """Run a client that logs in, calls, and steps up. Gives its report."""
    run = try_to_log_in(client, job, **environment)
    assert run.returncode == 0, run.stderr[-4000:]
    report: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return report


def try_to_log_in(
    client: str, job: Mapping[str, Any], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a client to its end, however that is."""
    program, script = RUNNERS[client]
    if program == "node":
        folder, interpreter = built("auth-node"), need("node")
    else:
        folder, interpreter = CLIENTS, str(built("python-clients") / program / "bin/python")
    return subprocess.run(
        [interpreter, script, json.dumps(job)],
        cwd=folder,
        env=os.environ | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"} | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def need(program: str) -> str:
    """The path of a program that these tests cannot do without."""
    path = shutil.which(program)
    assert path, f"{program} is not installed"
    return path
