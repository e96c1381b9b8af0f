"""Files of a cache on disk: written atomically, and evicted when the folder is too large."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

STALE_SECONDS = 3600
"""A temporary file of this age belongs to a process that has ended."""
TEMPORARY = ".incoming-"
"""The prefix of the names of incomplete files."""


def write_file(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Write a file atomically: a reader never sees a part of it.

    Raises:
        OSError: The file cannot be written.
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
    """Remove the least recently used files, until the folder holds at most `max_bytes`.

    The modification time of a file is the time of its last use, so users touch it. Another process may evict
    at the same time.

    Args:
        folder: The folder, with its subfolders; it need not exist.
        max_bytes: The size that may stay.
        in_use_seconds: A file that was used within this time stays in any case, because a process may be
            about
            to open it.
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
