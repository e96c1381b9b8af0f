"""Applications of the conformance tool behind the committed gateway, and what is built or installed for them.

Everything built or installed lies in the user's cache, under a key of its sources, once per change.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftl_operator.compose import ComposeSettings, compose
from ftl_operator.host import HostApp, Limits, Request, Response
from ftl_operator.host.sandbox import ask_tools
from ftl_operator.inspect import Component, component_from
from ftl_operator.local import own_gateway
from ftl_operator.model import FtlApp
from ftl_operator.refs import Digest
from ftl_operator.resolve import WASM_LAYER, Descriptor, LocalArtifact, ResolvedApp, ResolvedTool
from ftl_operator.wasm import read_binary

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"


@contextmanager
def _once(kind: str, sources: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """A folder for what these sources give, and whether it is still to be filled. One process at a time."""
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    directory = CACHE / "gateway-tests" / f"{kind}-{digest.hexdigest()[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = directory / "done"
        yield directory, not done.exists()
        done.touch()


def _run(command: Sequence[str], directory: Path, **environment: str) -> None:
    subprocess.run(command, cwd=directory, env=os.environ | environment, check=True, timeout=1500)


def conformance_tool() -> Path:
    """The component with the suite's tools, built from source."""
    source = HERE / "conformance_tool"
    sources = [source / "Cargo.toml", source / "Cargo.lock", *sorted((source / "src").iterdir())]
    with _once("tool", [*sources, ROOT / "scripts/wasm-cargo"]) as (directory, missing):
        output = directory / "conformance_tool.wasm"
        if missing:
            target = CACHE / "target-gateway-tools"
            command = [str(ROOT / "scripts/wasm-cargo"), "build", "--release", "--locked", "--quiet"]
            _run(command, source, CARGO_TARGET_DIR=str(target))
            shutil.copy(target / "wasm32-wasip2" / "release" / output.name, output)
        return output


def node_directory() -> Path:
    """A folder with the suite, the TypeScript clients and a Node.js that runs them."""
    source = HERE / "node"
    with _once("node", sorted(source.iterdir())) as (directory, missing):
        if missing:
            shutil.rmtree(directory / "node_modules", ignore_errors=True)
            for path in source.iterdir():
                shutil.copy(path, directory)
            # The npm package of Node.js installs itself by a script.
            _run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], directory)
        return directory


def node(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of `node_directory()` with the Node.js installed there."""
    directory = node_directory()
    return [str(directory / "node_modules/node/bin/node"), str(directory / script), *arguments]


def inspected(wasm: Path) -> Component:
    """What the operator finds in a component."""
    content = wasm.read_bytes()
    digest = Digest("sha256:" + hashlib.sha256(content).hexdigest())
    return component_from(
        Descriptor(WASM_LAYER, digest, len(content)), read_binary(content), ask_tools(wasm), wasm.name
    )


def application(
    wasm: Path,
    component: Component,
    tools: Sequence[Mapping[str, Any]],
    *,
    change: Callable[[dict[str, Component]], None] = lambda _: None,
    spec: Mapping[str, Any] | None = None,
    **options: Any,
) -> HostApp:
    """An app whose tools all come from one component.

    Args:
        wasm: The component's file.
        component: What was found in it.
        tools: Entries of `spec.tools` without `image`.
        change: May replace what was found, by digest.
        spec: Further fields of the spec.
        options: Of the host.
    """
    app = FtlApp.parse(
        {
            "apiVersion": "ftl.tools/v1alpha1",
            "kind": "FtlApp",
            "metadata": {"name": "conformance"},
            "spec": {
                "access": "public",
                "tools": [{"image": f"file:{wasm.name}", **tool} for tool in tools],
                **(spec or {}),
            },
        }
    )
    descriptor = Descriptor(WASM_LAYER, component.digest, component.size)
    resolved = ResolvedApp(
        app, tuple(ResolvedTool(tool, LocalArtifact(wasm, descriptor)) for tool in app.spec.tools)
    )
    components = {component.digest: component}
    change(components)
    locked = compose(resolved, components, None, ComposeSettings(own_gateway()))
    files = {layer.descriptor.digest: layer.path for layer in locked.layers}
    return HostApp(locked.document, lambda digest: files[digest] or wasm, limits=Limits(time=20), **options)


def post(app: HostApp, path: str, body: bytes, **headers: str) -> Response:
    """A POST as a client sends it."""
    given = {"content_type": "application/json", "accept": "application/json, text/event-stream"} | headers
    pairs = tuple((name.replace("_", "-"), value.encode()) for name, value in given.items())
    return app.handle(Request("POST", path, pairs, body, authority="localhost:3000"))
