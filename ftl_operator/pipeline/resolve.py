"""Pins every tool reference to its present digest. Pure: the caller asks the registry."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, Artifact, Layer, LocalArtifact
from ftl_operator.oci.reference import (
    Digest,
    FileReference,
    Reference,
    parse_reference,
    parse_source,
)

if TYPE_CHECKING:
    from ftl_operator.api.app import FtlApp
    from ftl_operator.api.tools import ToolSpec


@dataclass(frozen=True, slots=True)
class ResolvedTool:
    """A tool of the spec and the artifact of its reference."""

    spec: "ToolSpec"
    source: Artifact | LocalArtifact

    @property
    def digest(self) -> Digest:
        """The digest of the component, which is what runs."""
        return self.source.layer.digest

    @property
    def identity(self) -> Digest:
        """The digest of what an inspection reads: the component, and the catalog that is packaged with it."""
        return self.source.identity

    @property
    def pinned(self) -> str:
        """The reference by digest, or the file's name, as `status.components` shows it.

        A local file is named without its folder, so that the application does not depend on the folder.
        """
        if isinstance(self.source, LocalArtifact):
            return f"file:{self.source.path.name}"
        return str(self.source.reference.pinned(self.source.manifest_digest))


@dataclass(frozen=True, slots=True)
class ResolvedApp:
    """An FtlApp with all tools pinned, in the spec's order.

    Args:
        app: The app.
        tools: Its tools.
        gateway: The artifact of `gateway.image`; None means the operator's own gateway.
    """

    app: "FtlApp"
    tools: tuple[ResolvedTool, ...]
    gateway: Artifact | LocalArtifact | None = None


def sources(app: "FtlApp", directory: Path | None = None) -> dict[str, Reference | FileReference]:
    """The references that have to be looked up before `resolve`.

    Args:
        app: The app.
        directory: The folder for `file:PATH`; None (in a cluster) refuses local files.

    Returns:
        The reference of each `ToolSpec.source`. Tools with the same source share one.

    Raises:
        SpecError: A reference is not usable; names its field.
    """
    found: dict[str, Reference | FileReference] = {}
    for field, image, source in _images(app):
        if directory is None:
            found[source] = parse_reference(image, field)
        else:
            found[source] = parse_source(image, directory, field)
    return found


def resolve(app: "FtlApp", artifacts: Mapping[str, Artifact | LocalArtifact]) -> ResolvedApp:
    """Pin every tool, and the gateway if the spec names one.

    Args:
        app: The app.
        artifacts: The artifact of each key of `sources`.

    Raises:
        SpecError: A source is not among the artifacts; names its field.
    """
    for field, _, source in _images(app):
        if source not in artifacts:
            raise SpecError(f"{source!r} was not found", reason=Reason.REFERENCE_NOT_FOUND, field=field)
    gateway = app.spec.gateway.image
    return ResolvedApp(
        app,
        tuple(ResolvedTool(tool, artifacts[tool.source]) for tool in app.spec.tools),
        None if gateway is None else artifacts[gateway],
    )


def layer_of(source: Artifact | LocalArtifact) -> Layer:
    """Make a resolved component a layer of the image to publish; only the media type changes.

    The nodes' shim refuses an image of several layers that has a layer of another media type.
    """
    descriptor = replace(source.layer, media_type=WASM_LAYER)
    if isinstance(source, LocalArtifact):
        return Layer(descriptor, path=source.path)
    return Layer(descriptor, source=source.reference.repository)


def _images(app: "FtlApp") -> Iterator[tuple[str, str, str]]:
    """Field, text and key of every reference in the spec."""
    for index, tool in enumerate(app.spec.tools):
        yield f"spec.tools[{index}].image", tool.image, tool.source
    if app.spec.gateway.image is not None:
        yield "spec.gateway.image", app.spec.gateway.image, app.spec.gateway.image
