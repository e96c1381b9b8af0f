"""References and digests. They are parsed once, so that no other code handles a raw image string.

Sources: OCI distribution specification 1.1 (names and tags), OCI image specification 1.1 (digests). Two
conveniences of Docker are left out on purpose: no registry is assumed (`acme/weather:1` is refused,
`localhost/a/b` has a host) and no tag is assumed (a reference without tag or digest is refused).
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NewType

from ftl_operator.errors import Reason, SpecError
from ftl_operator.hosts import HostError, parse_authority

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits."""

MAX_REFERENCE_LENGTH = 512

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")


def parse_digest(text: str, field: str = "") -> Digest:
    """Check a digest. Raises SpecError for anything but a SHA-256 digest in its canonical form."""
    if not _DIGEST.fullmatch(text):
        raise SpecError(
            f"{text[:100]!r} is not a digest; write 'sha256:' and 64 lower-case hexadecimal digits",
            reason=Reason.INVALID_REFERENCE,
            field=field,
        )
    return Digest(text)


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository in a registry: `registry` is a host with an optional port, `name` the path below it."""

    registry: str
    name: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"

    @property
    def host(self) -> str:
        """The registry's host without its port; an IPv6 address without its brackets."""
        if self.registry.startswith("["):
            return self.registry[1 : self.registry.index("]")]
        return self.registry.partition(":")[0]


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """An OCI reference: a repository with a tag, a digest, or both (the digest then decides)."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @property
    def version(self) -> str:
        """The name for the registry's manifest endpoint: the digest if there is one, else the tag."""
        return self.digest or self.tag or ""

    def pinned(self, digest: Digest) -> "Reference":
        """The same reference at exactly this digest."""
        return replace(self, digest=digest)


@dataclass(frozen=True, slots=True, order=True)
class FileReference:
    """A component in a local file (`file:PATH`), for `up` and `render`; never used in the cluster."""

    path: Path

    def __str__(self) -> str:
        return f"file:{self.path}"


def parse_repository(text: str, field: str = "") -> Repository:
    """Parse `registry[:port]/path`. Raises SpecError with the field path."""
    registry, slash, name = text.partition("/")
    if not slash or not _is_registry(registry):
        raise _refuse(
            text, field, "it names no registry; write the host too, for example ghcr.io/acme/weather"
        )
    if not _PATH.fullmatch(name):
        raise _refuse(
            text, field, f"{name!r} is not a repository path (lower-case letters, digits, '.', '_', '-', '/')"
        )
    return Repository(registry.lower(), name)


def parse_reference(text: str, field: str = "") -> Reference:
    """Parse `registry[:port]/path[:tag][@digest]`. Raises SpecError that says what to write instead."""
    if len(text) > MAX_REFERENCE_LENGTH:
        raise _refuse(text, field, f"it is longer than {MAX_REFERENCE_LENGTH} characters")
    if text.startswith("file:"):
        raise _refuse(text, field, "local files work in 'up' and 'render' only; push it to a registry")
    rest, at, digest_text = text.partition("@")
    digest = parse_digest(digest_text, field) if at else None
    # A colon after the last slash separates the tag; one before it belongs to the port or an IPv6 address.
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1) if slash >= 0 else -1
    tag = None
    if colon >= 0:
        rest, tag = rest[:colon], rest[colon + 1 :]
        if not _TAG.fullmatch(tag):
            raise _refuse(text, field, f"{tag!r} is not a tag (up to 128 letters, digits, '_', '.', '-')")
    repository = parse_repository(rest, field)
    if tag is None and digest is None:
        raise _refuse(text, field, f"it has no tag or digest; no 'latest' is assumed, write {rest}:TAG")
    return Reference(repository, tag, digest)


def parse_source(text: str, directory: Path, field: str = "") -> Reference | FileReference:
    """Parse what `up` and `render` accept: an OCI reference, or `file:PATH` relative to `directory`."""
    if text.startswith("file:"):
        return FileReference((directory / text.removeprefix("file:")).resolve())
    if text.startswith(("./", "../", "/")) or ("@" not in text and text.endswith((".wasm", ".wat"))):
        raise _refuse(text, field, f"it names no registry; for a file on this machine write file:{text}")
    return parse_reference(text, field)


def _is_registry(text: str) -> bool:
    try:
        authority = parse_authority(text)
    except HostError:
        return False
    # Docker's grammar of references allows no underscore in a host, and no dot at its end.
    if "_" in authority.host or text.partition(":")[0].endswith("."):
        return False
    # By Docker's rule, the first part is a host if it has a dot or a port, or is "localhost".
    written_as_host = "." in authority.host or ":" in authority.host or authority.port is not None
    return written_as_host or authority.host == "localhost"


def _refuse(text: str, field: str, why: str) -> SpecError:
    return SpecError(
        f"{text[:100]!r} is not a usable reference: {why}", reason=Reason.INVALID_REFERENCE, field=field
    )
