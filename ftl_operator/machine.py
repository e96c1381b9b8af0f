"""This machine as the command line finds it: its folders, its registries' logins, its files.

What is imported here on top is all that a cached `inspect` needs; the rest comes when it is first used.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftl_operator.components import Inspector
from ftl_operator.errors import Reason, SpecError
from ftl_operator.refs import Digest
from ftl_operator.resolve import WASM_LAYER, Descriptor, LocalArtifact

if TYPE_CHECKING:
    from ftl_operator.registry import Registry

MAX_COMPONENT_BYTES = 512 << 20
"""A longer local file is no component that anybody meant."""


def cache_directory() -> Path:
    """Where blobs, inspection results and publications are kept. Raises OSError if it cannot be made."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"
    path.mkdir(parents=True, exist_ok=True)
    return path


def state_directory() -> Path:
    """Where the local issuer keeps its key."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ftl-operator"


def open_registry(plain_http: Sequence[str], ca_file: Path | None) -> "Registry":
    """Registries with the logins of Docker's configuration."""
    from ftl_operator.credentials import Credentials
    from ftl_operator.registry import Registry, RegistrySettings

    settings = RegistrySettings(cache_directory() / "blobs", plain_http=tuple(plain_http), ca_file=ca_file)
    return Registry(settings, Credentials.from_environment())


def open_inspector(registry: "Registry | None") -> Inspector:
    """Inspects components in the sandbox, each digest once on this machine.

    Args:
        registry: Where components come from; None if all are local files.
    """
    return Inspector(registry, cache_directory(), _ask, _componentize)


def local_artifact(path: Path, field: str) -> LocalArtifact:
    """A component in a local file. Raises SpecError if it cannot be read or cannot be one."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SpecError(
                    f"{path} is not a regular file", reason=Reason.REFERENCE_NOT_FOUND, field=field
                )
            if status.st_size > MAX_COMPONENT_BYTES:
                raise SpecError(
                    f"{path} has {status.st_size} bytes, and a component may have {MAX_COMPONENT_BYTES}",
                    reason=Reason.TOO_LARGE,
                    field=field,
                )
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise SpecError(
            f"{path} cannot be read: {error.strerror or error}",
            reason=Reason.REFERENCE_NOT_FOUND,
            field=field,
        ) from error
    return LocalArtifact(path, Descriptor(WASM_LAYER, Digest(f"sha256:{digest}"), size))


def _ask(wasm: Path) -> bytes:
    from ftl_operator.host.sandbox import ask_tools

    return ask_tools(wasm)


def _componentize(core: bytes) -> bytes:
    from ftl_operator.host.componentize import componentize

    return componentize(core)
