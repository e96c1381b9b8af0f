"""OCI descriptors, and what a resolved reference is."""

from dataclasses import dataclass
from pathlib import Path

from ftl_operator.oci.reference import Digest, Reference, Repository

WASM_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
"""The media type of a component's layer in a Spin application."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as OCI describes one (image specification 1.1, "Content Descriptors"). `size` is in bytes."""

    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a registry holds under a reference.

    Args:
        reference: The reference as the spec writes it.
        manifest_digest: The digest that it has now.
        layer: The one layer with WebAssembly that was chosen.
        component_id: The component's id if the artifact is a Spin application, else None.
    """

    reference: Reference
    manifest_digest: Digest
    layer: Descriptor
    component_id: str | None = None


@dataclass(frozen=True, slots=True)
class LocalArtifact:
    """A component in a local file; `up` and `render` only."""

    path: Path
    layer: Descriptor


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the published image, and where its bytes are: in a repository, in a local file, or both."""

    descriptor: Descriptor
    source: Repository | None = None
    path: Path | None = None
