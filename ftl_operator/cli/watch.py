"""`up --watch`: follows changes of an FtlApp's file and of its local components.

Files are polled instead of watched through the kernel: they are few, and polling misses nothing when an
editor replaces a file, a build removes a folder, or a link changes its target.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ftl_operator.cli.console import Console
from ftl_operator.cli.workspace import AppFile, local_files, read_app_file
from ftl_operator.errors import FtlError, SpecError

LOOK_SECONDS = 0.2
"""Seconds between two polls."""
SETTLE_SECONDS = 0.3
"""How long files must be unchanged before the change is used, because a build writes several times."""

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Stamps:
    """The state of files: modification time (ns), size and inode of each; None if it is absent."""

    files: Mapping[Path, Stamp]

    @classmethod
    def of(cls, files: Iterable[Path]) -> "Stamps":
        """Read the present stamps of files."""
        return cls({path: _stamp(path) for path in files})

    def __or__(self, other: "Stamps") -> "Stamps":
        """Combine with the stamps of other files."""
        return Stamps({**other.files, **self.files})

    def again(self) -> "Stamps":
        """Read the stamps of the same files again."""
        return Stamps.of(self.files)


def follow(file: str, seen: Stamps, again: Callable[[AppFile], None], console: Console) -> NoReturn:
    """Call `again` with the file's new content whenever it or a component has changed. Never returns.

    Args:
        file: The FtlApp's file.
        seen: The stamps that the files had before the served version was read.
        again: Composes and serves; if it fails, the last good version keeps serving.
        console: Prints errors.
    """
    served = frozenset(seen.files)
    while True:
        seen = _settled(seen)
        named: frozenset[Path] = frozenset()
        try:
            workspace = read_app_file(file)
            named = frozenset({Path(file), *local_files(workspace)})
            seen |= Stamps.of(named)
            again(workspace)
            served = named
        except (FtlError, OSError) as error:
            console.error(error if isinstance(error, FtlError) else SpecError(str(error)))
            console.note("the last good version keeps serving")
        # Watch missing components, which may appear, and earlier ones, to which the next version may return.
        wanted = {Path(file), *served, *named}
        seen = Stamps({path: stamp for path, stamp in seen.files.items() if path in wanted})


def _settled(seen: Stamps) -> Stamps:
    """Wait until the stamps differ from `seen` and stay unchanged; then return them."""
    while (now := seen.again()) == seen:
        time.sleep(LOOK_SECONDS)
    while True:
        time.sleep(SETTLE_SECONDS)
        later = now.again()
        if later == now:
            return now
        now = later


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
