"""Inspects a component once per digest: reads it, asks it for its tools in the sandbox, keeps the result.

This is an edge: it reads blobs, has components run (by `ask`, which is the sandbox's), and writes a cache.
What cannot be asked before deployment is marked with the reason, and the gateway asks it at run time.
"""

import contextlib
import copy
import json
import logging
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftl_operator.component.binary import Binary, Kind, read_binary
from ftl_operator.component.tool import Component, Tool, component_from
from ftl_operator.errors import ComponentError
from ftl_operator.keyed_lock import KeyedLock
from ftl_operator.oci.descriptor import Artifact, Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest

if TYPE_CHECKING:
    from ftl_operator.registry.client import Registry

CACHE_FORMAT = 1
"""Raised whenever a new result could differ from a cached one: another reader, rule or limit."""

_log = logging.getLogger(__name__)

# Not the release candidates before 0.2.0: another interface under nearly the same name.
_ASKABLE = re.compile(r"wasi:http/incoming-handler@0\.2\.\d+")


class Inspector:
    """Inspects components. Safe for threads; one component is inspected once however many ask for it.

    Args:
        registry: Where the bytes of an `Artifact` come from; None where there are local files only.
        cache_dir: Where results are kept, by digest.
        ask: Runs a component in the sandbox and gives its answer to `GET /`; raises ComponentError.
        componentize: Turns a core module with a known world into a component; None where that is not at hand.
    """

    def __init__(
        self,
        registry: "Registry | None",
        cache_dir: Path,
        ask: Callable[[Path], bytes],
        componentize: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._registry = registry
        # A result of an inspector that can do less must not hide what another one could find out.
        kind = "full" if componentize else "plain"
        self._folder = cache_dir / "inspect" / f"{CACHE_FORMAT}-{kind}"
        self._ask = ask
        self._componentize = componentize
        self._turns = KeyedLock()

    def with_registry(self, registry: "Registry") -> "Inspector":
        """The same inspector, for whom this registry's credentials stand for."""
        other = copy.copy(self)
        other._registry = registry  # noqa: SLF001 - its own class
        return other

    def inspect(self, source: Artifact | LocalArtifact, where: str) -> Component:
        """What a component is, and its tools.

        Args:
            source: Where it is.
            where: The component's name and its reference, for messages.

        Raises:
            ComponentError: If it is no component that serves HTTP, fails, or describes its tools wrongly.
            RegistryError: If its bytes cannot be had.
        """
        layer = source.layer
        if kept := self._load(layer):
            return kept
        with self._turns.take(layer.digest):
            if kept := self._load(layer):
                return kept
            path = source.path if isinstance(source, LocalArtifact) else self.fetch(source)
            try:
                component = self._inspect(layer, path, where)
            except ComponentError as error:
                text = error.message if error.message.startswith(where) else f"{where}: {error.message}"
                raise ComponentError(text, reason=error.reason, field=error.field) from error
            self._save(component)
            return component

    def known(self, layer: Descriptor) -> Component | None:
        """What an earlier inspection found, if it is still in the cache."""
        return self._load(layer)

    def fetch(self, source: Artifact) -> Path:
        """Have a component's bytes in the cache, so that `inspect` needs no registry.

        Raises:
            RegistryError: They cannot be had.
        """
        if self._registry is None:
            raise ValueError("there is no registry to fetch from")
        return self._registry.blob(source.reference.repository, source.layer)

    def _inspect(self, layer: Descriptor, path: Path, where: str) -> Component:
        binary = _read(path)
        if not binary.world:
            raise ComponentError(
                "it is a core module without the type of its world; build it as a component (wasm32-wasip2)"
            )
        if not binary.serves_http:
            shown = ", ".join(binary.exports[:5]) or "nothing"
            raise ComponentError(f"it does not export wasi:http/incoming-handler; it exports {shown}")
        match binary.kind:
            case Kind.WASI_0_3:
                reason = "it is built for WASI 0.3, which runs on Spin 4 and not in the inspection sandbox"
                return component_from(layer, binary, None, where, reason)
            case Kind.CORE_MODULE if self._componentize is None:
                reason = "it is a core module, which only Spin turns into a component"
                return component_from(layer, binary, None, where, reason)
        if not any(_ASKABLE.fullmatch(name) for name in binary.exports):
            reason = (
                "it is built for an older interface than wasi:http 0.2.0, which the sandbox does not have"
            )
            return component_from(layer, binary, None, where, reason)
        with self._askable(path, binary) as asked:
            return component_from(layer, binary, self._ask(asked), where)

    @contextlib.contextmanager
    def _askable(self, path: Path, binary: Binary) -> Iterator[Path]:
        if binary.kind is not Kind.CORE_MODULE or self._componentize is None:
            yield path
            return
        with tempfile.NamedTemporaryFile(suffix=".wasm") as file:
            file.write(self._componentize(path.read_bytes()))
            file.flush()
            yield Path(file.name)

    def _load(self, layer: Descriptor) -> Component | None:
        try:
            kept: Mapping[str, Any] = json.loads(self._path(layer.digest).read_bytes())
            binary = kept["binary"]
            tools = kept["tools"]
            return Component(
                layer.digest,
                layer.size,
                Binary(Kind(binary["kind"]), tuple(binary["imports"]), tuple(binary["exports"])),
                None if tools is None else tuple(Tool.from_document(tool) for tool in tools),
                str(kept["dynamicReason"]),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            # Absent, or cut off by a crash of the machine: it is inspected again.
            return None

    def _save(self, component: Component) -> None:
        binary, tools = component.binary, component.tools
        document = {
            "binary": {"kind": binary.kind, "imports": binary.imports, "exports": binary.exports},
            "tools": None if tools is None else [tool.document() for tool in tools],
            "dynamicReason": component.dynamic_reason,
        }
        path = self._path(component.digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False) as file:
                json.dump(document, file)
            os.replace(file.name, path)  # noqa: PTH105 - the name is a text
        except OSError as error:
            # The result is good all the same; it only has to be found out again.
            _log.warning("the inspection cache cannot be written: %s", error.strerror or error)

    def _path(self, digest: Digest) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"


def _read(path: Path) -> Binary:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return read_binary(b"")
            # Not closed by hand: it goes with the last view of it, also when an error keeps one for a while.
            return read_binary(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise ComponentError(f"{path.name} cannot be read: {error.strerror or error}") from error
