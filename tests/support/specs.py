"""FtlApps for tests: the cases of `data/invalid.yaml`, and components that never were compiled."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ftl_operator.api.app import FtlApp
from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component, parse_tools
from ftl_operator.oci.descriptor import Artifact, Descriptor
from ftl_operator.oci.digest import canonical
from ftl_operator.oci.reference import Digest, parse_reference

DATA = Path(__file__).parents[1] / "data"
INVALID = yaml.safe_load((DATA / "invalid.yaml").read_text(encoding="utf-8"))


def ftlapp(
    spec: Mapping[str, Any] | None = None, metadata: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The valid spec of `invalid.yaml` with some fields replaced; None removes one."""
    fields = {**INVALID["valid"], **(spec or {})}
    return {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "case", "namespace": "agents", **(metadata or {})},
        "spec": {name: value for name, value in fields.items() if value is not None},
    }


def public(*tools: Mapping[str, Any], **fields: Any) -> FtlApp:
    """An app that everyone may call."""
    spec = {"access": "public", "auth": None, "tools": list(tools), **fields}
    return FtlApp.parse(ftlapp(spec))


def digest_of(text: str) -> Digest:
    return Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest())


def artifact(image: str, component: str | None = None) -> Artifact:
    """A registry's answer for a reference; the digest comes from the reference's text."""
    layer = Descriptor("application/wasm", digest_of(f"layer {image} {component}"), 1000 + len(image))
    reference = parse_reference(image)
    return Artifact(reference, reference.digest or digest_of(f"manifest {image}"), layer, component)


def component(layer: Descriptor, tools: list[dict[str, Any]] | None, reason: str = "") -> Component:
    """A component with these tools; None for one that can only be asked at run time."""
    known = None if tools is None else parse_tools(canonical(tools).encode())
    kind = Kind.WASI_0_3 if tools is None else Kind.WASI_0_2
    return Component(
        layer.digest, layer.size, Binary(kind, (), ("wasi:http/incoming-handler@0.2.0",)), known, reason
    )


def tool(name: str, **fields: Any) -> dict[str, Any]:
    """A tool's metadata."""
    return {"name": name, "description": f"Does {name}", "inputSchema": {"type": "object"}, **fields}
