"""The applications that are compared. Those with a gateway go through the operator's own pure pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.component.binary import read_binary
from ftl_operator.component.tool import Component, parse_tools
from ftl_operator.host.engine.engine import digest_of
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, Layer, LocalArtifact
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.compose import ComposeSettings, compose
from ftl_operator.pipeline.resolve import ResolvedApp, ResolvedTool

TOOLS = "tools"
"""The component with the tools; the forwarder knows it under this name."""


@dataclass(frozen=True, slots=True)
class App:
    """A locked Spin application, the files of its layers, and values of its variables."""

    document: Mapping[str, Any] = field(repr=False)
    files: Mapping[Digest, Path]
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    def blob(self, digest: Digest) -> Path:
        """The file of a layer."""
        return self.files[digest]


def plain(front: Path, *behind: Path) -> App:
    """One component behind the public route and, reachable from it alone, perhaps the component `tools`."""
    names = {"front": front, **dict(zip([TOOLS], behind, strict=False))}
    document = {
        "spin_lock_version": 1,
        "must_understand": ["component_host_requirements"],
        "metadata": {
            "name": "bench",
            "version": "1.0.0",
            "trigger": {"type": "http"},
            "triggers": {"http": {}},
        },
        "variables": {},
        "triggers": [
            {
                "id": f"trigger-{name}",
                "trigger_type": "http",
                "trigger_config": {
                    "component": name,
                    "route": "/..." if name == "front" else {"private": True},
                },
            }
            for name in names
        ],
        "components": [
            {
                "id": name,
                "metadata": {
                    "allowed_outbound_hosts": [f"http://{TOOLS}.spin.internal"] if name == "front" else []
                },
                "source": {"content_type": "application/wasm", "digest": digest_of(path)},
                "host_requirements": {"local_service_chaining": "required"} if name == "front" else {},
            }
            for name, path in names.items()
        ],
    }
    return App(document, {digest_of(path): path for path in names.values()})


def inspect(tool: Path, metadata: bytes) -> Component:
    """The tool component, with what it said about its tools."""
    layer = _descriptor(tool)
    return Component(layer.digest, layer.size, read_binary(tool.read_bytes()), parse_tools(metadata))


def gatewayed(
    gateway: Path,
    tool: tuple[Path, Component],
    *,
    include: str = "*",
    components: int = 1,
    validate: bool = True,
    auth: tuple[Mapping[str, Any], GatewayAuth] | None = None,
    login: tuple[Path, Mapping[str, str]] | None = None,
) -> App:
    """The gateway in front of the tool component.

    Args:
        gateway: The gateway's file.
        tool: The tool component's file and what was found in it.
        include: Which of its tools are exposed.
        components: How often the component is there, under names of its own; at most 27 times.
        validate: Whether arguments are checked.
        auth: `spec.auth` and what was checked of it; None for a public app.
        login: The login's file and its variables, for an app that has one.
    """
    path, component = tool
    app = FtlApp.parse(
        {
            "apiVersion": "ftl.tools/v1alpha1",
            "kind": "FtlApp",
            "metadata": {"name": "bench", "namespace": "bench"},
            "spec": {
                "tools": [
                    {"name": name, "image": "file:tool.wasm", "include": [include]}
                    for name in (
                        TOOLS,
                        *(f"{TOOLS}-{letter}" for letter in ascii_lowercase[: components - 1]),
                    )
                ],
                "access": "private" if auth else "public",
                **({"auth": dict(auth[0])} if auth else {}),
                "gateway": {"validateArguments": validate},
            },
        }
    )
    artifact = LocalArtifact(path, _descriptor(path))
    resolved = ResolvedApp(app, tuple(ResolvedTool(entry, artifact) for entry in app.spec.tools))
    settings = ComposeSettings(
        Layer(_descriptor(gateway), path=gateway),
        None if login is None else Layer(_descriptor(login[0]), path=login[0]),
    )
    locked = compose(resolved, {component.digest: component}, auth[1] if auth else None, settings)
    files = {layer.descriptor.digest: layer.path for layer in locked.layers if layer.path}
    return App(locked.document, files, {} if login is None else login[1])


def _descriptor(path: Path) -> Descriptor:
    return Descriptor(WASM_LAYER, digest_of(path), path.stat().st_size)
