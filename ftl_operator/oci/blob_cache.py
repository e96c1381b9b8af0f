"""A cache of blobs on disk by repository and digest, shared by threads and by processes.

A file gets its name only when all of its bytes have arrived and match the digest; after that it never
changes. So no reader needs a lock, and a crash leaves at worst a temporary file, which a later eviction
removes.

The repository is part of the name because a digest is no secret: a registry that only claims to have a blob
must not get access to the bytes that another registry sent.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ftl_operator.disk_cache import TEMPORARY, evict
from ftl_operator.errors import Reason, RegistryError
from ftl_operator.oci.descriptor import Descriptor
from ftl_operator.oci.reference import Digest, Repository

IN_USE_SECONDS = 600
"""A file that was used within this time is not evicted, because a caller may be about to open it."""


class BlobCache:
    """Blobs in a folder.

    Args:
        folder: Created when the first blob arrives.
        max_bytes: The size of the folder. If it is exceeded, the least recently used files are removed,
            except
            those used within the last ten minutes.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder / "sha256"
        self._max_bytes = max_bytes

    def find(self, repository: Repository, descriptor: Descriptor) -> Path | None:
        """The file of a blob, or None. A file of another size does not count: the disk was full or failed."""
        path = self._path(repository, descriptor.digest)
        try:
            if path.stat().st_size != descriptor.size:
                return None
            os.utime(path)
        except OSError:
            return None
        return path

    def read(self, repository: Repository, digest: Digest, limit: int) -> bytes | None:
        """Read a small blob's bytes; None if it is absent, larger than `limit`, or damaged."""
        path = self._path(repository, digest)
        try:
            with path.open("rb") as file:
                raw = file.read(limit + 1)
            os.utime(path)
        except OSError:
            return None
        return raw if len(raw) <= limit and f"sha256:{hashlib.sha256(raw).hexdigest()}" == digest else None

    def store(
        self, repository: Repository, descriptor: Descriptor, chunks: Iterable[bytes], where: str
    ) -> Path:
        """Store a blob while it arrives.

        Args:
            repository: The repository that sends it.
            descriptor: The digest and size that the bytes must have.
            chunks: The bytes; no more are read than the size.
            where: What the blob belongs to, for messages.

        Raises:
            RegistryError: The bytes do not match the descriptor, or the disk cannot be written.
        """
        path = self._path(repository, descriptor.digest)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=self._folder)
        except OSError as error:
            raise _disk(error) from error
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                _copy(chunks, file.write, descriptor, where)
                temporary.chmod(0o444)
            temporary.replace(path)
        except OSError as error:
            raise _disk(error) from error
        finally:
            temporary.unlink(missing_ok=True)
        evict(self._folder, self._max_bytes, in_use_seconds=IN_USE_SECONDS)
        return path

    def _path(self, repository: Repository, digest: Digest) -> Path:
        origin = hashlib.sha256(str(repository).encode()).hexdigest()[:32]
        return self._folder / f"{origin}-{digest.removeprefix('sha256:')}"


def _copy(
    chunks: Iterable[bytes], write: Callable[[bytes], object], descriptor: Descriptor, where: str
) -> None:
    hasher, received = hashlib.sha256(), 0
    for chunk in chunks:
        received += len(chunk)
        if received > descriptor.size:
            raise _mismatch(where, f"more than the {descriptor.size} bytes of its descriptor", descriptor)
        hasher.update(chunk)
        write(chunk)
    if received != descriptor.size:
        raise _mismatch(where, f"{received} bytes instead of {descriptor.size}", descriptor)
    if f"sha256:{hasher.hexdigest()}" != descriptor.digest:
        raise _mismatch(where, f"bytes with the digest sha256:{hasher.hexdigest()}", descriptor)


def _mismatch(where: str, got: str, descriptor: Descriptor) -> RegistryError:
    return RegistryError(
        f"{where}: the registry sent {got} for the blob {descriptor.digest}; nothing of it is used",
        reason=Reason.DIGEST_MISMATCH,
    )


def _disk(error: OSError) -> RegistryError:
    return RegistryError(f"the blob cache cannot be written: {error.strerror or error}")
