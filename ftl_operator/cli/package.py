"""`package`: a component and the catalog of its tools as one artifact, checked as an inspection checks it."""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from ftl_operator.cli.console import Console
from ftl_operator.cli.environment import open_inspector
from ftl_operator.component.tool import Component
from ftl_operator.errors import ComponentError, Reason, SpecError
from ftl_operator.oci.descriptor import Layer, LocalArtifact
from ftl_operator.oci.image import OciImage
from ftl_operator.oci.layout import Layout
from ftl_operator.oci.local import local_artifact
from ftl_operator.oci.package import MAX_CATALOG_BYTES, package_image
from ftl_operator.oci.reference import Repository

_LONGEST_FILE = 4 * MAX_CATALOG_BYTES
"""Of the catalog's file, which may be indented."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A component with its catalog, ready to be written or pushed."""

    image: OciImage
    component: Component

    def write(self, path: Path, name: str) -> None:
        """Write it as an OCI image layout in one tar file, in which it has this name."""
        with tempfile.TemporaryDirectory() as folder:
            layout = Layout(Path(folder))
            files = {layer.descriptor.digest: layer.path for layer in self.image.layers if layer.path}
            layout.publish(self.image, files, name)
            layout.archive(path.absolute())


def package(component: Path, tools: Path, console: Console) -> Packaged:
    """Package a component and a catalog.

    Args:
        component: The component's file.
        tools: The catalog's file: what the component would answer to `GET /`.
        console: Where to say what is waited for.

    Raises:
        SpecError: A file cannot be read or is too long.
        ComponentError: The component is not usable, a tool of the catalog cannot be served, or the component
            can be asked and says something else.
    """
    found = local_artifact(component, "")
    source = LocalArtifact(found.path, replace(found.layer, media_type="application/wasm"), _read(tools))
    image = package_image(Layer(source.layer, path=source.path), source.catalog)
    with console.step(f"inspecting {component}"):
        inspected = open_inspector().inspect(source, str(component), _no_registry)
    if inspected.catalog_note and not inspected.packaged:
        raise ComponentError(f"{component}: {inspected.catalog_note}", reason=Reason.INVALID_TOOL)
    for tool in inspected.tools or ():
        if tool.fault:
            raise ComponentError(f"{tools}: tool {tool.name!r}: {tool.fault}", reason=Reason.INVALID_TOOL)
    return Packaged(image, inspected)


def _read(path: Path) -> str:
    """The catalog without white space, its members in their order. Raises SpecError if it is no JSON."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(raw) > _LONGEST_FILE:
        raise SpecError(f"{path} has more than {_LONGEST_FILE} bytes", reason=Reason.TOO_LARGE)
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (ValueError, RecursionError):
        raise SpecError(f"{path} is not JSON", reason=Reason.INVALID_TOOL) from None
    return text


def _no_registry(repository: Repository, *_: object) -> NoReturn:
    raise ValueError(f"a local file is asked for in {repository}")
