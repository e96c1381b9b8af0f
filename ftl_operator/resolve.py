"""Every tool reference pinned to the bytes it means right now. Pure: the registry supplies the answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ftl_operator.errors import Reason, SpecError
from ftl_operator.model import FtlApp, ToolSpec
from ftl_operator.refs import Digest, FileReference, Reference, parse_reference, parse_source


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
class ResolvedTool:
    """A tool of the spec and the bytes it stands for."""

    spec: ToolSpec
    source: Artifact | LocalArtifact

    @property
    def digest(self) -> Digest:
        """The digest of the component itself, which is what runs."""
        return self.source.layer.digest

    @property
    def pinned(self) -> str:
        """The reference by digest, or the file's name: what `status.components` shows.

        A local file is named without its folder, so that nothing composed depends on where a project lies.
        """
        if isinstance(self.source, LocalArtifact):
            return f"file:{self.source.path.name}"
        return str(self.source.reference.pinned(self.source.manifest_digest))


@dataclass(frozen=True, slots=True)
class ResolvedApp:
    """An FtlApp all of whose tools are pinned, in the spec's order."""

    app: FtlApp
    tools: tuple[ResolvedTool, ...]


def sources(app: FtlApp, directory: Path | None = None) -> dict[str, Reference | FileReference]:
    """What has to be looked up before `resolve`.

    Args:
        app: The app.
        directory: What `file:PATH` is relative to; None (in a cluster) refuses local files.

    Returns:
        For each `ToolSpec.source` where to look. Tools with the same source are there once.

    Raises:
        SpecError: A reference is not usable; names its field.
    """
    found: dict[str, Reference | FileReference] = {}
    for index, tool in enumerate(app.spec.tools):
        field = f"spec.tools[{index}].image"
        found[tool.source] = (
            parse_reference(tool.image, field)
            if directory is None
            else parse_source(tool.image, directory, field)
        )
    return found


def resolve(app: FtlApp, artifacts: Mapping[str, Artifact | LocalArtifact]) -> ResolvedApp:
    """Pin every tool.

    Args:
        app: The app.
        artifacts: For each `ToolSpec.source` what it was found to be.

    Raises:
        SpecError: A tool's source is not among the artifacts; names its field.
    """
    tools = []
    for index, tool in enumerate(app.spec.tools):
        source = artifacts.get(tool.source)
        if source is None:
            raise SpecError(
                f"{tool.source!r} was not found",
                reason=Reason.REFERENCE_NOT_FOUND,
                field=f"spec.tools[{index}].image",
            )
        tools.append(ResolvedTool(tool, source))
    return ResolvedApp(app, tuple(tools))
