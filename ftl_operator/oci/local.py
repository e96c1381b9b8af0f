"""Components in local files."""

import hashlib
import os
import stat
from pathlib import Path

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest

MAX_COMPONENT_BYTES = 512 << 20
"""The largest local component in bytes; a larger file is a mistake."""


def local_artifact(path: Path, field: str) -> LocalArtifact:
    """Read a component from a local file. Raises SpecError if the file cannot be read or is too large."""
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
