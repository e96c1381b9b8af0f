"""The command line's environment: folders, credentials for registries, local files.

The imports at the top are all that a cached `inspect` needs; everything else is imported at its first use.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftl_operator.component.inspector import Inspector, version_of

if TYPE_CHECKING:
    from ftl_operator.registry.client import Registry

GATEWAY_WASM = Path(__file__).parents[1] / "gateway.wasm"
LOGIN_WASM = Path(__file__).parents[1] / "login.wasm"


def cache_directory() -> Path:
    """The folder for blobs, inspection results and publications. Raises OSError if it cannot be created."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"
    path.mkdir(parents=True, exist_ok=True)
    return path


def state_directory() -> Path:
    """The folder for the local issuer's key."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ftl-operator"


def open_registry(plain_http: Sequence[str], ca_file: Path | None) -> "Registry":
    """Open registries with the credentials in Docker's configuration."""
    from ftl_operator.registry.client import Registry
    from ftl_operator.registry.docker_config import Credentials
    from ftl_operator.registry.http import RegistrySettings

    settings = RegistrySettings(
        cache_directory() / "blobs", plain_http=tuple(plain_http), developing=True, ca_file=ca_file
    )
    return Registry(settings, Credentials.from_environment())


def open_inspector() -> Inspector:
    """Make the inspector, which runs in the sandbox and inspects each digest once on this machine."""
    return Inspector(cache_directory(), _examine, version_of(GATEWAY_WASM))


def _examine(wasm: Path, catalog: bytes) -> bytes:
    from ftl_operator.host.sandbox.parent import inspect_component

    return inspect_component(wasm, GATEWAY_WASM, catalog=catalog)
