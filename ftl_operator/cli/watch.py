"""`up --watch`: take up changes of an FtlApp's file and of the local components that it names.

Files are looked at again and again rather than watched by the kernel: there are few of them, and nothing is
missed so when an editor replaces a file, a build removes a folder, or a link is pointed elsewhere.
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
"""Between two looks."""
SETTLE_SECONDS = 0.3
"""How long files must be quiet before a change is taken up: a build writes several times."""

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Stamps:
    """What tells whether files changed: each one's modification time (ns), size and inode; None if absent."""

    files: Mapping[Path, Stamp]

    @classmethod
    def of(cls, files: Iterable[Path]) -> "Stamps":
        """The stamps of this moment."""
        return cls({path: _stamp(path) for path in files})

    def __or__(self, other: "Stamps") -> "Stamps":
        """These and those of other files."""
        return Stamps({**other.files, **self.files})

    def again(self) -> "Stamps":
        """The same files' stamps of this moment."""
        return Stamps.of(self.files)


def follow(file: str, seen: Stamps, again: Callable[[AppFile], None], console: Console) -> NoReturn:
    """Call `again` with the file's new content whenever it or a component changed. Never returns.

    Args:
        file: The FtlApp's file.
        seen: The files' stamps from before they were read for what is served now.
        again: Composes and serves; an error of it leaves the last good version serving.
        console: Told of errors.
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
        # A component that is missing may come, and an older one be what the next version goes back to.
        wanted = {Path(file), *served, *named}
        seen = Stamps({path: stamp for path, stamp in seen.files.items() if path in wanted})


def _settled(seen: Stamps) -> Stamps:
    """The stamps once they differ from `seen` and nothing changes any more."""
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
