"""Writes a file that nobody but its owner may read."""

import os
import secrets
import stat
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, with mode 0600. Raises OSError."""
    # Written to another file and renamed, so that another process never reads a partial key.
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    beside.replace(path)
