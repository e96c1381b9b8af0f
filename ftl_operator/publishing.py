"""`render`, `inspect` and `publish`: the pipeline's parts for a person, without a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftl_operator.console import Console
from ftl_operator.inspect import Component
from ftl_operator.local import Authorize, local_edges, open_inspector, read_workspace
from ftl_operator.manifests import manifests
from ftl_operator.manifests_spinapp import Release
from ftl_operator.reconcile import Planned, Source, Steps, local_artifact, plan, repository_of
from ftl_operator.reconcile import publish as push
from ftl_operator.refs import FileReference, Reference, Repository, parse_repository, parse_source
from ftl_operator.registry import PublishedApp, Registry
from ftl_operator.resolve import LocalArtifact
from ftl_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Inspected:
    """A component as `inspect` shows it."""

    source: Source
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
            "tools": None if component.tools is None else [tool.document() for tool in component.tools],
            "dynamicReason": component.dynamic_reason,
        }

    def text(self) -> str:
        """For people."""
        component = self.component
        lines = [
            f"reference  {self.reference}",
            f"component  {component.digest}",
            f"size       {component.size / 1e6:.1f} MB",
            f"kind       {component.binary.kind}",
            f"imports    {_columns(component.binary.imports)}",
            f"exports    {_columns(component.binary.exports)}",
        ]
        if component.tools is None:
            return "\n".join([*lines, f"tools      asked at run time: {component.dynamic_reason}"])
        for index, tool in enumerate(component.tools):
            head = "tools      " if index == 0 else " " * 11
            lines.append(f"{head}{tool.name}{_arguments(tool.input_schema)}")
            if tool.description:
                lines.append(f"{' ' * 13}{tool.description.splitlines()[0]}")
        return "\n".join(lines if component.tools else [*lines, "tools      none"])


def inspect(reference: str, component: str | None, registry: Registry, console: Console) -> Inspected:
    """What a reference's component is.

    Raises:
        FtlError: The reference is not usable, or the component is not.
    """
    parsed = parse_source(reference, Path.cwd())
    source: Source
    with console.step(f"looking up {reference}"):
        if isinstance(parsed, FileReference):
            source = local_artifact(parsed.path, "")
        else:
            source = registry.artifact(parsed, component)
    with console.step(f"inspecting {reference}"):
        return Inspected(source, open_inspector(registry).inspect(source, reference))


def publish(
    file: str, repository: str | None, registry: Registry, console: Console, authorize: Authorize
) -> PublishedApp:
    """Compose the app in a file and push it.

    Raises:
        FtlError: Whatever stops a stage.
    """
    planned = _plan(file, registry, console, authorize)
    target = _target(planned, repository)
    with console.step(f"publishing to {target}"):
        return push(planned, registry, target, Steps())


def render(
    file: str, repository: str | None, registry: Registry, console: Console, authorize: Authorize
) -> list[Mapping[str, Any]]:
    """The objects that the controller would apply for the app in a file.

    Raises:
        FtlError: Whatever stops a stage.
    """
    planned = _plan(file, registry, console, authorize)
    image = Reference(_target(planned, repository), digest=planned.image.digest)
    release = Release(image, issuer_urls=planned.issuer_urls)
    app = planned.resolved.app
    return [_without_owner(item) for item in manifests(app, release, Settings()).objects]


def _plan(file: str, registry: Registry, console: Console, authorize: Authorize) -> Planned:
    workspace = read_workspace(file)
    with console.step(f"composing {workspace.app.metadata.name}"):
        edges = local_edges(workspace, registry, authorize, console.progress)
        return plan(workspace.app, edges, Steps(), workspace.directory)


def _target(planned: Planned, repository: str | None) -> Repository:
    if repository is not None:
        return parse_repository(repository, "--repository")
    return repository_of(planned.resolved.app, Settings())


def _without_owner(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object as a file can hold it: who owns it is known in a cluster only."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "ownerReferences"}
    return {**item, "metadata": metadata}


def _columns(names: tuple[str, ...]) -> str:
    return f"\n{' ' * 11}".join(names) or "none"


def _arguments(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    names = [name if name in required else f"{name}?" for name in schema.get("properties", {})]
    return f"({', '.join(names)})"
