"""An FtlApp served by `ftl-operator up` with the tool in `tool/`, and an authorization server beside it."""

import hashlib
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

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"
START_SECONDS = 240
"""A first start compiles the gateway."""


def build_tool() -> Path:
    """The tool of these tests, built if its sources changed."""
    source = HERE / "tool"
    digest = hashlib.sha256((ROOT / "scripts/wasm-cargo").read_bytes())
    for path in (source / "Cargo.toml", source / "Cargo.lock", source / "src/lib.rs"):
        digest.update(path.read_bytes())
    built = CACHE / "auth-tests" / f"tool-{digest.hexdigest()[:16]}.wasm"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        target = CACHE / "target-auth-tests"
        subprocess.run(
            [str(ROOT / "scripts/wasm-cargo"), "build", "--release", "--locked", "--quiet"],
            cwd=source,
            env=os.environ | {"CARGO_TARGET_DIR": str(target)},
            check=True,
            timeout=1500,
        )
        temporary = built.with_suffix(f".{os.getpid()}")
        shutil.copy(target / "wasm32-wasip2" / "release" / "auth_test_tool.wasm", temporary)
        temporary.rename(built)
    return built


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
) -> Iterator[Process]:
    """Serve an app with the tests' tool as its components `mail` and `files`; `scopes` are of `mail`."""
    tool = f"file:{build_tool()}"
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
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ftl-operator")), "up", str(file), "--port", str(port)]
    with running([*command, "--output", "json", *options]) as process:
        yield process


@contextmanager
def authorization_server(
    resource: str, port: int = 0, key_id: str = "key-1", **options: object
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
    script = node_modules() / "authorization-server.mjs"
    with running([need("node"), str(script), json.dumps(job)]) as process:
        yield str(process.document["issuer"])


def node_modules() -> Path:
    """A folder with the node scripts and what they need, installed once per lock file."""
    source = HERE / "node"
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = CACHE / "auth-tests" / f"node-{digest}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        command = [need("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True, timeout=600)
        (folder / "complete").touch()
    for script in source.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def need(program: str) -> str:
    """The path of a program that these tests cannot do without."""
    path = shutil.which(program)
    assert path, f"{program} is not installed"
    return path
