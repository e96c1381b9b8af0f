"""OCI descriptors, and the artifacts of resolved references."""

from dataclasses import dataclass, field
from pathlib import Path

from ftl_operator.oci.digest import sha256
from ftl_operator.oci.reference import Digest, Reference, Repository

WASM_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
"""The media type of a component's layer in a Spin application."""
CATALOG_ANNOTATION = "tools.ftl.catalog"
"""On a component's layer: the JSON array of its tools, for those who cannot ask it."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI descriptor (image specification 1.1, "Content Descriptors"). `size` is in bytes."""

    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """The artifact of a reference in a registry.

    Args:
        reference: The reference as in the spec.
        manifest_digest: Its present digest.
        layer: The chosen layer with WebAssembly.
        component_id: The component's id if the artifact is a Spin application, else None.
        catalog: The catalog that is packaged with the layer, unread; empty if there is none.
    """

    reference: Reference
    manifest_digest: Digest
    layer: Descriptor
    component_id: str | None = None
    catalog: str = field(default="", repr=False)

    @property
    def identity(self) -> Digest:
        """The digest of what an inspection reads."""
        return _identity(self.layer, self.catalog)


@dataclass(frozen=True, slots=True)
class LocalArtifact:
    """A component in a local file, and a catalog for it; `up`, `render` and `package` only."""

    path: Path
    layer: Descriptor
    catalog: str = field(default="", repr=False)

    @property
    def identity(self) -> Digest:
        """The digest of what an inspection reads."""
        return _identity(self.layer, self.catalog)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the published image, and the source of its bytes: a repository, a local file, or both."""

    descriptor: Descriptor
    source: Repository | None = None
    path: Path | None = None


def _identity(layer: Descriptor, catalog: str) -> Digest:
    if not catalog:
        return layer.digest
    # Text from outside may hold half of a surrogate pair, which is no UTF-8.
    return sha256(f"{layer.digest}\0{catalog}".encode(errors="surrogatepass"))
