"""An FtlApp in a file, without a cluster, and the pipeline's inputs for `up`, `render` and `publish`.

The file may also have Secrets and ConfigMaps, from which the app takes values. They are used for `up` only
and are never printed or published.
"""

import base64
import binascii
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.fields import ValueSource
from ftl_operator.cli.environment import GATEWAY_WASM, LOGIN_WASM, open_inspector
from ftl_operator.cli.yaml_documents import read_documents, shown
from ftl_operator.component.tool import Component
from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, Layer
from ftl_operator.oci.digest import sha256
from ftl_operator.oci.reference import Digest, FileReference
from ftl_operator.pipeline.compose import LockedApp
from ftl_operator.pipeline.plan import Inputs, Source
from ftl_operator.pipeline.resolve import sources
from ftl_operator.registry.client import Registry

MAX_FILE_BYTES = 4 << 20

Texts = Mapping[str, str]
ReadKey = Callable[[str, str], str]
Authorize = Callable[[FtlApp, ReadKey, ReadKey], GatewayAuth | None]
"""Checks `spec.auth`; the others read a key of a ConfigMap and of a Secret."""


@dataclass(frozen=True, slots=True)
class AppFile:
    """The content of an FtlApp file.

    Args:
        app: The FtlApp.
        directory: The folder for `file:` references in it.
        objects: Keys and values of the Secrets and ConfigMaps in the file, by kind and name.
    """

    app: FtlApp
    directory: Path
    objects: Mapping[tuple[str, str], Texts] = field(repr=False)

    def text(self, source: ValueSource) -> str | None:
        """The value of a `valueFrom`, if its object is in the file."""
        key = source.secret_key_ref or source.config_map_key_ref
        kind = "Secret" if source.secret_key_ref else "ConfigMap"
        return None if key is None else self.objects.get((kind, key.name), {}).get(key.key)

    def config(self, name: str, key: str) -> str:
        """The value of a key of a ConfigMap in the file. Raises SpecError if it is missing."""
        return self._value("ConfigMap", name, key)

    def secret(self, name: str, key: str) -> str:
        """The value of a key of a Secret in the file. Raises SpecError if it is missing."""
        return self._value("Secret", name, key)

    def _value(self, kind: str, name: str, key: str) -> str:
        try:
            return self.objects[kind, name][key]
        except KeyError:
            raise SpecError(
                f"the file has no {kind} {name!r} with the key {key!r}; add it as another document",
                reason=Reason.SOURCE_NOT_FOUND,
            ) from None


def read_app_file(path: str) -> AppFile:
    """Read a file with one FtlApp; `-` is standard input.

    Raises:
        SpecError: The file cannot be read, or does not hold exactly one usable FtlApp.
    """
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{name} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise SpecError(f"{name} is larger than {MAX_FILE_BYTES} bytes", reason=Reason.TOO_LARGE)
    documents = read_documents(raw, name)
    kinds = [document.get("kind") for document in documents]
    if kinds.count("FtlApp") != 1:
        found = ", ".join(kind if isinstance(kind, str) else shown(kind) for kind in kinds) or "nothing"
        raise SpecError(f"{name} must hold one FtlApp; it holds {found}")
    app = FtlApp.parse(documents[kinds.index("FtlApp")])
    directory = Path.cwd() if path == "-" else Path(path).resolve().parent
    return AppFile(app, directory, dict(_objects(documents)))


def local_files(app_file: AppFile) -> frozenset[Path]:
    """The local files of the app's components."""
    found = sources(app_file.app, app_file.directory).values()
    return frozenset(source.path for source in found if isinstance(source, FileReference))


def _objects(documents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], Texts]]:
    for document in documents:
        kind = str(document.get("kind"))
        if kind not in ("Secret", "ConfigMap"):
            continue
        name = str(_mapping(document, "metadata", kind).get("name"))
        where = f"{kind} {name}"
        given = {key: str(value) for key, value in _mapping(document, "data", where).items()}
        texts = given if kind == "ConfigMap" else dict(_decoded(given, where))
        if kind == "Secret":
            texts |= {key: str(value) for key, value in _mapping(document, "stringData", where).items()}
        yield (kind, name), texts


def _decoded(data: Texts, where: str) -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        try:
            # Skip bytes that are not text, such as a key store; other keys may be text.
            with contextlib.suppress(UnicodeDecodeError):
                yield key, base64.b64decode("".join(value.split()), validate=True).decode()
        except binascii.Error:
            raise SpecError(f"{where}: data.{key} is not base64; write the text into stringData") from None


def _mapping(document: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise SpecError(f"{where}: {name} is not a mapping")
    return value or {}


def own_component(path: Path) -> Layer:
    """Make a layer of a prebuilt component."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(f"the component {path.stem} is not installed: {error.strerror}: {path}") from error
    return Layer(Descriptor(WASM_LAYER, sha256(content), len(content)), path=path)


def local_inputs(
    app_file: AppFile, registry: Registry, authorize: Authorize, say: Callable[[str], None]
) -> Inputs:
    """The pipeline's inputs on this machine.

    Args:
        app_file: The file; its ConfigMaps may have the policy.
        registry: The registries for the tools.
        authorize: Checks the app's issuer and policy.
        say: Shows progress.
    """
    inspector = open_inspector()

    def inspect(source: Source, where: str) -> Component:
        say(f"inspecting {where}")
        return inspector.inspect(source, where, registry.blob)

    auth = app_file.app.spec.auth
    return Inputs(
        registry.artifact,
        inspect,
        lambda app: authorize(app, app_file.config, app_file.secret),
        own_component(GATEWAY_WASM),
        own_component(LOGIN_WASM) if auth is not None and auth.login is not None else None,
    )


def layer_files(layers: Sequence[Layer], registry: Registry) -> dict[Digest, Path]:
    """Get a local file of every layer; missing ones are pulled."""
    files = {}
    for layer in layers:
        path = layer.path
        if path is None and layer.source is not None:
            path = registry.blob(layer.source, layer.descriptor)
        if path is None:
            raise ValueError(f"the layer {layer.descriptor.digest} has neither a path nor a source")
        files[layer.descriptor.digest] = path
    return files


def variables_of(locked: LockedApp, app_file: AppFile, given: Texts) -> dict[str, str]:
    """Find the values of an application's variables: first in `given`, then in the environment and the file.

    Args:
        locked: The application.
        app_file: The file, with its Secrets and ConfigMaps.
        given: Values by the name of the application's variable.

    Raises:
        SpecError: A variable has no value, or the application has no variable of a given name.
    """
    known = locked.document["variables"]
    for name in given:
        if name not in known:
            names = ", ".join(sorted(name for name in known if not name.startswith("gateway_")))
            raise SpecError(f"the application has no variable {name!r}; it has: {names or 'none'}")
    values = dict(given)
    for name in known:
        if name not in values and (value := os.environ.get(f"SPIN_VARIABLE_{name.upper()}")) is not None:
            values[name] = value
    for binding in locked.bindings:
        if binding.name in values:
            continue
        text = app_file.text(binding.source)
        if text is None:
            raise SpecError(
                f"{binding.tool} needs a value for its variable {binding.variable!r}: put the Secret or "
                f"ConfigMap into the same file, set SPIN_VARIABLE_{binding.name.upper()}, or pass "
                f"--variable {binding.name}=VALUE",
                reason=Reason.SOURCE_NOT_FOUND,
            )
        values[binding.name] = text
    return values
