"""A component in a local file."""

import hashlib
import os
import stat
from pathlib import Path

from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest

MAX_COMPONENT_BYTES = 512 << 20
"""A longer local file is no component that anybody meant."""


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
