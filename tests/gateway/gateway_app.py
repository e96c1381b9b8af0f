"""Applications of the conformance tool behind the committed gateway."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builds import built
from ftl_operator.api.app import FtlApp
from ftl_operator.cli.environment import GATEWAY_WASM
from ftl_operator.cli.workspace import own_component
from ftl_operator.component.binary import read_binary
from ftl_operator.component.tool import Component, parse_tools
from ftl_operator.host import HostApp, Limits, Request, Response
from ftl_operator.host.sandbox.parent import ask_tools
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.compose import ComposeSettings, compose
from ftl_operator.pipeline.resolve import ResolvedApp, ResolvedTool

HERE = Path(__file__).parent


def node(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of `gateway/node` with the Node.js installed beside it."""
    directory = built("mcp-node")
    return [str(directory / "node_modules/node/bin/node"), str(directory / script), *arguments]


def inspected(wasm: Path) -> Component:
    """What the operator finds in a component."""
    content = wasm.read_bytes()
    digest = Digest("sha256:" + hashlib.sha256(content).hexdigest())
    return Component(digest, len(content), read_binary(content), parse_tools(ask_tools(wasm)))


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
    locked = compose(resolved, components, None, ComposeSettings(own_component(GATEWAY_WASM)))
    files = {layer.descriptor.digest: layer.path for layer in locked.layers}
    return HostApp(locked.document, lambda digest: files[digest] or wasm, limits=Limits(time=120), **options)


def post(app: HostApp, path: str, body: bytes, **headers: str) -> Response:
    """A POST as a client sends it."""
    given = {"content_type": "application/json", "accept": "application/json, text/event-stream"} | headers
    pairs = tuple((name.replace("_", "-"), value.encode()) for name, value in given.items())
    return app.handle(Request("POST", path, pairs, body, authority="localhost:3000"))
