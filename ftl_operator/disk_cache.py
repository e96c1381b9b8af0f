"""Files of a cache on disk: written whole or not at all, and removed when the folder holds too much."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

STALE_SECONDS = 3600
"""A temporary file of this age belongs to a process that is gone."""
TEMPORARY = ".incoming-"
"""How the names of files begin that are not whole yet."""


def write_file(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Put a file in its place, whole, for any reader at any time.

    Raises:
        OSError: The disk does not take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def evict(folder: Path, max_bytes: int, *, in_use_seconds: float = 0) -> None:
    """Remove the files that were used least recently, until the folder holds no more than `max_bytes`.

    A file's time of change is when it was used last, so whoever uses one touches it. Another process may
    evict too.

    Args:
        folder: The folder, with those in it; one that is not there holds nothing.
        max_bytes: What may stay.
        in_use_seconds: A file that was used within this time stays in any case, for its path may be about to
            be opened.
    """
    now = time.time()
    files = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if path.is_dir():
                continue
            if not path.name.startswith(TEMPORARY):
                files.append((status.st_mtime, status.st_size, path))
            elif now - status.st_mtime > STALE_SECONDS:
                path.unlink()
    total = sum(size for _, size, _ in files)
    for used, size, path in sorted(files):
        if total <= max_bytes or now - used < in_use_seconds:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
