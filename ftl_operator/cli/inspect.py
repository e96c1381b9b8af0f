"""`inspect`: describes the component of a reference, for people and for programs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftl_operator.cli.console import Console
from ftl_operator.cli.environment import open_inspector
from ftl_operator.component.tool import Component, Tool
from ftl_operator.errors import SpecError, printable
from ftl_operator.oci.descriptor import Artifact, LocalArtifact
from ftl_operator.oci.local import local_artifact
from ftl_operator.oci.reference import FileReference, parse_source

if TYPE_CHECKING:
    from ftl_operator.registry.client import Registry


@dataclass(frozen=True, slots=True)
class Inspected:
    """A component as `inspect` shows it."""

    source: Artifact | LocalArtifact
    component: Component

    @property
    def reference(self) -> str:
        """The reference, pinned."""
        if isinstance(self.source, LocalArtifact):
            return f"file:{self.source.path}"
        return str(self.source.reference.pinned(self.source.manifest_digest))

    def document(self) -> dict[str, Any]:
        """For programs."""
        component = self.component
        return {
            "reference": self.reference,
            "digest": component.digest,
            "size": component.size,
            "kind": str(component.binary.kind),
            "imports": list(component.binary.imports),
            "exports": list(component.binary.exports),
            "tools": None if component.tools is None else [_shown(tool) for tool in component.tools],
            "dynamicReason": component.dynamic_reason,
            "needs": component.needs,
            "catalogNote": component.catalog_note,
        }

    def text(self) -> str:
        """For people."""
        return printable("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        component = self.component
        lines = [
            f"reference  {self.reference}",
            f"component  {component.digest}",
            f"size       {component.size / 1e6:.1f} MB",
            f"kind       {component.binary.kind}",
            f"imports    {_columns(component.binary.imports)}",
            f"exports    {_columns(component.binary.exports)}",
        ]
        if component.needs:
            lines += [f"needs      {component.spin_needed}", f"{' ' * 11}elsewhere: {component.spin_advice}"]
        if component.catalog_note:
            lines.append(f"catalog    {component.catalog_note}")
        if component.tools is None:
            return [*lines, f"tools      asked at run time: {component.dynamic_reason}"]
        for index, tool in enumerate(component.tools):
            head = "tools      " if index == 0 else " " * 11
            lines.append(f"{head}{tool.name}{_arguments(tool.input_schema)}")
            if tool.fault:
                lines.append(f"{' ' * 13}cannot be served: {tool.fault}")
            lines += [f"{' ' * 13}warning: {warning}" for warning in tool.warnings]
            if description := (tool.description or "").strip():
                lines.append(f"{' ' * 13}{description.splitlines()[0]}")
        return lines if component.tools else [*lines, "tools      none"]


def inspect(
    reference: str, component: str | None, connect: "Callable[[], Registry]", console: Console
) -> Inspected:
    """Inspect the component of a reference.

    Args:
        reference: An OCI reference, or `file:PATH` relative to the working directory.
        component: Chooses a component in an artifact with several.
        connect: Opens the registries; not called for a file.
        console: Shows progress.

    Raises:
        FtlError: The reference or the component is not usable.
    """
    if not reference.startswith("file:") and Path(reference).is_file():
        raise SpecError(f"{reference} is a file here and no OCI reference; write file:{reference}")
    parsed = parse_source(reference, Path.cwd())
    if isinstance(parsed, FileReference):
        source: Artifact | LocalArtifact = local_artifact(parsed.path, "")
        if component is not None:
            raise SpecError("--component chooses in an artifact of a registry; a file is one component")
    else:
        with console.step(f"looking up {reference}"):
            source = connect().artifact(parsed, component)
    with console.step(f"inspecting {reference}"):
        found = open_inspector().inspect(source, reference, lambda *wanted: connect().blob(*wanted))
        return Inspected(source, found)


def _columns(names: tuple[str, ...]) -> str:
    # A name without a package is the component's own, as componentize-py's "exports" is.
    shown = [name if ":" in name else f"{name!r} (a name of the component's own)" for name in names]
    return f"\n{' ' * 11}".join(shown) or "none"


def _shown(tool: Tool) -> dict[str, Any]:
    found = {"fault": tool.fault, "warnings": list(tool.warnings)}
    return {**tool.document(), **{name: value for name, value in found.items() if value}}


def _arguments(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    names = [name if name in required else f"{name}?" for name in schema.get("properties", {})]
    return f"({', '.join(names)})"
