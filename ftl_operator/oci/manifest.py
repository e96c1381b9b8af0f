"""Parses an artifact's manifest, and chooses the layer with the component. Pure.

Sources: OCI image specification 1.1 (manifest, index), and the forms in which tools are published: a raw Wasm
layer (`oras push`), wkg's `application/wasm`, an index with one `wasm` entry, an artifact of several layers,
and a Spin application, whose locked application names its components. Manifests are untrusted: every value is
checked before it is used, and the only error is ComponentError.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftl_operator.bounded_json import parse_json
from ftl_operator.errors import ComponentError, Reason, SpecError
from ftl_operator.oci.descriptor import CATALOG_ANNOTATION, Descriptor
from ftl_operator.oci.reference import Digest, parse_digest

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = (IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_LIST)
"""Media types of manifests, in the order of an `Accept` header."""

SPIN_APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
_TITLE = "org.opencontainers.image.title"
_REFERENCE_TYPE = "vnd.docker.reference.type"
"""BuildKit's annotation of an entry that only describes another one."""
MAX_PARTS = 100_000
"""How many JSON values and names a manifest or locked application may have; a layer has about ten."""
_MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A layer of a manifest, or a manifest of an index, with its title and annotations."""

    descriptor: Descriptor
    title: str = ""
    architecture: str = ""
    os: str = ""
    artifact_type: str = ""
    is_attestation: bool = False
    catalog: str = ""

    @property
    def is_wasm(self) -> bool:
        """Whether its media type says that it is WebAssembly; the bytes are checked later."""
        kinds = (self.descriptor.media_type, self.artifact_type)
        return any(map(_is_wasm_type, kinds)) or self.title.endswith(".wasm")

    @property
    def is_for_wasm(self) -> bool:
        """Whether its platform or its type is WebAssembly (`wasm`, `wasm32`, `wasi`, …)."""
        return self.architecture.startswith("wasm") or self.os.startswith("wasi") or self.is_wasm

    @property
    def may_be_wasm(self) -> bool:
        """Whether neither its platform nor its type excludes WebAssembly."""
        return self.is_for_wasm or not (self.is_attestation or self.architecture or self.artifact_type)

    def __str__(self) -> str:
        name = self.title or self.architecture
        named = f"{name[:80]!r} " if name else ""
        return f"{named}({self.descriptor.media_type[:80]}, {self.descriptor.digest})"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: its layers, in order."""

    layers: tuple[Entry, ...]

    @property
    def application(self) -> Descriptor | None:
        """The layer with the locked application, if this is a Spin application."""
        found = (entry.descriptor for entry in self.layers if entry.descriptor.media_type == SPIN_APPLICATION)
        return next(found, None)

    def catalog_of(self, digest: Digest) -> str:
        """The catalog that is packaged with a layer; empty if there is none."""
        found = (entry.catalog for entry in self.layers if entry.descriptor.digest == digest)
        return next(filter(None, found), "")

    @property
    def holds_wasm(self) -> bool:
        """Whether it has a component to choose: a WebAssembly layer, or a Spin application."""
        return self.application is not None or any(entry.is_wasm for entry in self.layers)


@dataclass(frozen=True, slots=True)
class Index:
    """An image index: its manifests, in order."""

    manifests: tuple[Entry, ...]


def parse_manifest(raw: bytes, where: str) -> Manifest | Index:
    """Parse an image manifest or an image index of OCI or Docker. `where` is the reference, for messages."""
    document = _object(raw, where, "manifest")
    if isinstance(document.get("manifests"), list):
        return Index(_usable(document["manifests"], where))
    if isinstance(document.get("layers"), list):
        return Manifest(_entries(document["layers"], where))
    raise _unsupported(where, "its manifest is neither an OCI image manifest nor an index")


def candidates(index: Index, where: str) -> tuple[Descriptor, ...]:
    """The manifests of an index that may have WebAssembly, each digest once.

    These are the ones for the platform `wasm`, or, without any, those that do not exclude WebAssembly. Left
    out are other platforms, attestations (of the platform "unknown/unknown", or marked as such) and artifacts
    of another type, such as SBOMs and signatures. A single entry is taken whatever its platform is.

    Raises:
        ComponentError: There is none; the message lists the entries.
    """
    real = [entry for entry in index.manifests if not entry.is_attestation]
    chosen = [entry for entry in real if entry.is_for_wasm] or [entry for entry in real if entry.may_be_wasm]
    if not chosen and len({entry.descriptor.digest for entry in real}) == 1 and not real[0].artifact_type:
        chosen = real
    if not chosen:
        raise _unsupported(where, f"its index has no entry; it lists {_listed(index.manifests)}")
    return tuple({entry.descriptor.digest: entry.descriptor for entry in chosen}.values())


def only(found: Sequence[Manifest], index: Index, where: str) -> Manifest:
    """The one manifest among an index's candidates that has WebAssembly.

    Args:
        found: The manifests of `candidates` that have some, without repetition.
        index: The index, for messages.
        where: The reference, for messages.

    Raises:
        ComponentError: There is none, or they have different components.
    """
    # Manifests for several platforms often share the one layer with the component.
    wasm = {tuple(e.descriptor.digest for e in manifest.layers if e.is_wasm) for manifest in found}
    if found and (len(found) == 1 or (len(wasm) == 1 and not any(m.application for m in found))):
        return found[0]
    what = "no entry" if not found else "no single entry for the architecture 'wasm'"
    raise _unsupported(where, f"its index has {what}; it lists {_listed(index.manifests)}")


def choose_layer(manifest: Manifest, component: str | None, where: str) -> Descriptor:
    """The layer with the component.

    Args:
        manifest: A manifest that is not a Spin application's.
        component: The title (with or without `.wasm`) or digest of the layer; None if there is only one.
        where: The reference, for messages.

    Raises:
        ComponentError: There is none, none of this name, or several without a choice; the message lists them.
    """
    wasm = [entry for entry in manifest.layers if entry.is_wasm]
    if component is not None:
        wasm = [e for e in wasm if component in (e.title, e.title.removesuffix(".wasm"), e.descriptor.digest)]
        if not wasm:
            raise _unsupported(
                where, f"it has no WebAssembly layer {component!r}; it holds {_listed(manifest.layers)}"
            )
    if not wasm:
        raise _unsupported(where, f"it holds no WebAssembly; its layers are {_listed(manifest.layers)}")
    if len({entry.descriptor.digest for entry in wasm}) > 1:
        raise _unsupported(
            where, f"it holds several WebAssembly layers; choose one by title or digest: {_listed(wasm)}"
        )
    return wasm[0].descriptor


def choose_component(
    locked: bytes, manifest: Manifest, component: str | None, where: str
) -> tuple[str, Descriptor]:
    """A Spin application's component: its id and its layer.

    Args:
        locked: The locked application's JSON.
        manifest: The manifest that `locked` belongs to.
        component: The component's id; None if there is only one.
        where: The reference, for messages.

    Raises:
        ComponentError: No component can be chosen, or it needs files of its application.
    """
    document = _object(locked, where, "locked application")
    listed = document.get("components")
    components = {
        str(item.get("id")): item
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    }
    names = ", ".join(repr(name[:80]) for name in list(components)[:_MAX_LISTED]) or "none"
    if component is None and len(components) != 1:
        raise _unsupported(where, f"it is a Spin application; choose one of its components: {names}")
    name = component if component is not None else next(iter(components))
    if name not in components:
        raise _unsupported(where, f"it is a Spin application without the component {name!r}; it has {names}")
    chosen = components[name]
    # An FtlApp can set variables and environment but not files, which a tool would miss at run time.
    if chosen.get("files"):
        raise _unsupported(where, f"its component {name!r} needs files that are mounted by its application")
    source = chosen.get("source")
    digest = source.get("digest") if isinstance(source, dict) else None
    for entry in manifest.layers:
        if entry.descriptor.digest == digest:
            return name, entry.descriptor
    raise _unsupported(where, f"its component {name!r} has no layer in its manifest")


def _usable(items: Sequence[object], where: str) -> tuple[Entry, ...]:
    """The entries with a supported digest; an entry with another kind of digest cannot be chosen."""
    found = []
    for item in items:
        with contextlib.suppress(ComponentError):
            found.append(_entry(item, where))
    return tuple(found)


def _entries(items: Sequence[object], where: str) -> tuple[Entry, ...]:
    return tuple(_entry(item, where) for item in items)


def _entry(item: object, where: str) -> Entry:
    if not isinstance(item, dict):
        raise _unsupported(where, "an entry of its manifest is not an object")
    media_type, digest, size = item.get("mediaType"), item.get("digest"), item.get("size")
    if not isinstance(digest, str) or type(size) is not int or size < 0:
        raise _unsupported(where, "an entry of its manifest has no digest or no size")
    try:
        parsed = parse_digest(digest)
    except SpecError as error:
        raise _unsupported(where, f"an entry of its manifest is not usable: {error.message}") from None
    annotations, platform = _mapping(item.get("annotations")), _mapping(item.get("platform"))
    return Entry(
        Descriptor(media_type if isinstance(media_type, str) else "", parsed, size),
        str(annotations.get(_TITLE) or ""),
        str(platform.get("architecture") or ""),
        str(platform.get("os") or ""),
        str(item.get("artifactType") or ""),
        platform.get("architecture") == "unknown" or _REFERENCE_TYPE in annotations,
        catalog if isinstance(catalog := annotations.get(CATALOG_ANNOTATION), str) else "",
    )


def _is_wasm_type(media_type: str) -> bool:
    # Parameters (RFC 9110 §8.3.1) and case do not matter.
    kind = media_type.partition(";")[0].strip().lower()
    return kind == "application/wasm" or kind.endswith("+wasm")


def _object(raw: bytes, where: str, what: str) -> Mapping[str, Any]:
    try:
        document = parse_json(raw, MAX_PARTS)
    except ValueError as error:
        raise _unsupported(where, f"its {what} is not usable JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise _unsupported(where, f"its {what} is not a JSON object")
    return document


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(entries: Sequence[Entry]) -> str:
    shown = ", ".join(str(entry) for entry in entries[:_MAX_LISTED]) or "nothing"
    return shown if len(entries) <= _MAX_LISTED else f"{shown} and {len(entries) - _MAX_LISTED} more"


def _unsupported(where: str, why: str) -> ComponentError:
    return ComponentError(f"{where}: {why}", reason=Reason.UNSUPPORTED_ARTIFACT)
