"""Inspects a component once per digest and packaged catalog, and caches the result, good or bad.

It fetches blobs, has components examined in the sandbox (`examine`), and writes a cache. Only the sandbox's
child reads a component's bytes and metadata; this module gets a result of bounded size. A component that
cannot list its tools before deployment is marked with the reason, and the gateway asks it at run time.
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component, Tool
from ftl_operator.disk_cache import evict, write_file
from ftl_operator.errors import ComponentError, Reason, SlowComponentError, SpecError
from ftl_operator.keyed_lock import KeyedLock
from ftl_operator.oci.descriptor import Artifact, Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest, Repository

CACHE_FORMAT = 4
"""The version of the cache. Increase it when a new result could differ from a cached one."""
MAX_CACHE_BYTES = 64 << 20
"""The size of the cache on disk; the least recently used results are removed first."""
MAX_MEMORY_BYTES = 8 << 20
"""The size of the cache in memory, for results that cannot be kept on disk."""
SLOW_SECONDS = 600
"""How long the failure of a component that exceeded its time limit is kept; a busy machine may be the
cause."""

_log = logging.getLogger(__name__)


Fetch = Callable[[Repository, Descriptor], Path]
"""Gets a blob as a local file. May raise RegistryError."""


class Inspector:
    """Inspects components. Safe to use from several threads; concurrent calls inspect a component once.

    Args:
        cache_dir: The folder for results, by digest.
        examine: Inspects a file and the catalog that is packaged with it in the sandbox; returns the JSON of
            `host.sandbox.examine`.
        version: Identifies what else determines a result: the gateway's digest and the limits. A cached
            result
            is valid for one version only.
        clock: Seconds.
    """

    def __init__(
        self,
        cache_dir: Path,
        examine: Callable[[Path, bytes], bytes],
        version: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = cache_dir / "inspect"
        self._folder = self._root / f"{CACHE_FORMAT}-{version}"
        self._examine = examine
        self._clock = clock
        self._locks = KeyedLock()
        self._memory = _Memory(MAX_MEMORY_BYTES)

    def inspect(self, source: Artifact | LocalArtifact, where: str, fetch: Fetch) -> Component:
        """Inspect a component and list its tools.

        Args:
            source: The component.
            where: The component's name and its reference, for messages.
            fetch: Downloads an `Artifact` with the app's credentials.

        Raises:
            ComponentError: It does not serve HTTP, fails, or lists no tools; now or in a cached inspection.
            InspectionError: This machine lacks the memory for it.
            RegistryError: It cannot be downloaded.
        """
        with self._locks.hold(source.identity):
            outcome = self._load(source, where)
            if outcome is None:
                path = (
                    source.path
                    if isinstance(source, LocalArtifact)
                    else fetch(source.reference.repository, source.layer)
                )
                outcome = self._ask(source, path, where)
        return _component(outcome)

    def known(self, source: Artifact | LocalArtifact, where: str) -> Component | None:
        """The cached result of an earlier inspection, if there is one.

        Raises:
            ComponentError: The result is that the component is not usable.
        """
        outcome = self._load(source, where)
        return None if outcome is None else _component(outcome)

    def _ask(self, source: Artifact | LocalArtifact, path: Path, where: str) -> "_Outcome":
        until: float | None = None
        result: Mapping[str, Any] = {
            "failure": "the sandbox gave no result",
            "reason": str(Reason.COMPONENT_FAILED),
        }
        try:
            given = json.loads(self._examine(path, source.catalog.encode(errors="surrogatepass")))
            _outcome(source.layer, given, where)
            result = given
        except ComponentError as error:
            result = {"failure": error.message, "reason": str(error.reason)}
            if isinstance(error, SlowComponentError):
                until = self._clock() + SLOW_SECONDS
        except _MALFORMED:
            _log.exception("the sandbox gave no result that can be read")
        self._save(source.identity, result, until)
        return _outcome(source.layer, result, where)

    def _load(self, source: Artifact | LocalArtifact, where: str) -> "_Outcome | None":
        raw = self._memory.get(source.identity, self._clock())
        path = self._path(source.identity)
        try:
            if raw is None:
                raw = path.read_bytes()
                os.utime(path)
            return _outcome(source.layer, json.loads(raw), where)
        except (OSError, *_MALFORMED):
            # Absent, or truncated by a crash: inspect again.
            return None

    def _save(self, digest: Digest, result: Mapping[str, Any], until: float | None) -> None:
        raw = json.dumps(result, ensure_ascii=False).encode()
        if until is not None:
            self._memory.put(digest, raw, until)
            return
        try:
            write_file(self._path(digest), raw)
            evict(self._root, MAX_CACHE_BYTES)
        except OSError as error:
            _log.warning("the inspection cache cannot be written: %s", error.strerror or error)
            self._memory.put(digest, raw, None)

    def _path(self, digest: Digest) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"


def version_of(gateway: Path, *limits: float) -> str:
    """Make the text for `Inspector.version`.

    Args:
        gateway: The gateway component, whose engine checks schemas.
        limits: Numbers that determine whether a component passes.

    Raises:
        SpecError: The gateway component cannot be read.
    """
    try:
        with gateway.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise SpecError(f"the gateway component {gateway} cannot be read: {error.strerror}") from error
    digest.update(json.dumps(limits).encode())
    return digest.hexdigest()[:16]


class _Memory:
    """Results by digest, some with an expiry; the oldest are removed first when they are too large."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Digest, tuple[bytes, float | None]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: Digest, now: float) -> bytes | None:
        with self._lock:
            raw, until = self._kept.get(digest, (None, None))
            if raw is not None and until is not None and until <= now:
                self._remove(digest)
                return None
            return raw

    def put(self, digest: Digest, raw: bytes, until: float | None) -> None:
        with self._lock:
            self._remove(digest)
            self._kept[digest] = raw, until
            self._bytes += len(raw)
            while self._bytes > self._max_bytes and self._kept:
                self._remove(next(iter(self._kept)))

    def _remove(self, digest: Digest) -> None:
        raw, _ = self._kept.pop(digest, (b"", None))
        self._bytes -= len(raw)


_Outcome = Component | ComponentError
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError)
"""The errors of a result whose parts are missing or have the wrong type."""


def _component(outcome: _Outcome) -> Component:
    if isinstance(outcome, ComponentError):
        raise outcome
    return outcome


def _outcome(layer: Descriptor, result: Mapping[str, Any], where: str) -> _Outcome:
    """Parse a result or a failure. Raises one of `_MALFORMED` if it is neither."""
    if "failure" in result:
        return ComponentError(f"{where}: {result['failure']}", reason=Reason(result["reason"]))
    tools = result["tools"]
    return Component(
        layer.digest,
        layer.size,
        Binary(Kind(result["kind"]), tuple(result["imports"]), tuple(result["exports"])),
        None if tools is None else tuple(Tool.from_record(tool) for tool in tools),
        str(result["dynamicReason"]),
        str(result["needs"]),
        str(result["catalogNote"]),
        packaged=result["packaged"] is True,
    )
