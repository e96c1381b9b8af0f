"""The folder of what is built: one folder per target and key, complete as soon as it exists."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builds.signals import SIGNALS

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-operator"
NOT_INPUTS = ("node_modules", "target", "dist", "bundle.js", "__pycache__", "*.wasm")
"""Names in a source folder that its own tools make; they do not affect the result."""
_GRACE = 5
"""Seconds between SIGTERM and SIGKILL for a build that is broken off."""
_REMINDER = 60
"""Seconds after which a running build says again that it runs."""


class NotBuiltError(Exception):
    """Something is used but was not built; the message names the command that builds it."""


class BuildError(Exception):
    """A build's command failed; the message has its last lines and the path of its log."""


@dataclass(frozen=True)
class Target:
    """Something to build.

    Attributes:
        name: As in `make build-NAME`.
        what: What comes out, for people.
        takes: How long the first build takes on two idle cores, for people.
        inputs: Files and folders whose content decides what comes out.
        make: Fills the empty folder `Build.folder`.
        versions: Gives further text that decides what comes out, as a compiler's version.
        revision: Raised when `make` changes so that what was built before is no longer right.
    """

    name: str
    what: str
    takes: str
    inputs: tuple[Path, ...]
    make: Callable[["Build"], None]
    versions: Callable[[], str] = str
    revision: int = 1

    def key(self) -> str:
        """Sixteen hexadecimal digits that depend on everything that decides what comes out."""
        digest = hashlib.sha256(f"{self.name} {self.revision} {self.versions()}".encode())
        for start in self.inputs:
            for path in _files(start):
                digest.update(f"{path.relative_to(start.parent)}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]


def _files(start: Path) -> list[Path]:
    if start.is_file():
        return [start]
    found = (path for path in start.rglob("*") if path.is_file())
    return sorted(path for path in found if not _is_made(path.relative_to(start)))


def _is_made(path: Path) -> bool:
    return any(Path(part).match(pattern) for part in path.parts for pattern in NOT_INPUTS)


class Store:
    """Builds targets into a folder, and finds what was built there."""

    def __init__(self, folder: Path, say: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._say = say or (lambda line: print(f"builds: {line}", file=sys.stderr, flush=True))

    def place(self, target: Target) -> Path:
        """The folder of what these inputs give; it exists once that is built."""
        return self._folder / f"{target.name}-{target.key()}"

    def find(self, target: Target) -> Path:
        """The folder of what was built. Raises NotBuiltError."""
        place = self.place(target)
        if not place.is_dir():
            raise NotBuiltError(
                f"{target.name} is not built ({target.what}): run 'make build-{target.name}', "
                f"which takes {target.takes}, or 'make builds' for everything"
            )
        return place

    def build(self, target: Target) -> Path:
        """Build what is missing. A second process that wants the same waits for the first.

        Raises:
            BuildError: A command of the build failed.
        """
        place = self.place(target)
        if place.is_dir():
            return place
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock(target):
            if not place.is_dir():
                self._fill(target, place)
        return place

    def _fill(self, target: Target, place: Path) -> None:
        partial = self._folder / f"{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        started = time.monotonic()
        self._say(f"{target.name}: {target.what}; takes {target.takes} on two idle cores")
        build = Build(target.name, partial, self._folder / f"{target.name}.log", self._say)
        build.log.write_bytes(b"")
        with build.reminders(started):
            target.make(build)
        partial.rename(place)
        self._say(f"{target.name}: done in {time.monotonic() - started:.0f} s")

    @contextlib.contextmanager
    def _lock(self, target: Target) -> Iterator[None]:
        with (self._folder / f"{target.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f"{target.name}: another process is building it; waiting for that")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Build:
    """One build while it runs.

    Attributes:
        folder: To be filled.
        log: Receives what the commands print.
    """

    def __init__(self, name: str, folder: Path, log: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.log = log
        self._name = name
        self._say = say
        self._step = ""

    def step(self, what: str) -> None:
        """Say what comes next."""
        self._step = f" ({what})"
        self._say(f"{self._name}: {what}")

    def run(
        self, *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, may_fail: bool = False
    ) -> str:
        """Run a command in a process group of its own, which ends with it and with this process.

        Args:
            command: Its words.
            cwd: Where it runs.
            env: Variables beside this process's own.
            may_fail: Its exit status says nothing.

        Returns:
            What it printed on standard output.

        Raises:
            BuildError: It failed.
        """
        words = [str(word) for word in command]
        environment = {**_outer_environment(), **(env or {})}
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            child: subprocess.Popen[bytes] | None = None
            try:
                with SIGNALS.held():
                    child = subprocess.Popen(
                        words,
                        cwd=cwd,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        start_new_session=True,
                    )
                out, _ = child.communicate()
            except BaseException:
                if child:
                    _end_group(child)
                raise
            log.write(out)
        if child.returncode and not may_fail:
            raise BuildError(
                f"{self._name}: '{' '.join(words[:4])}' ended with {child.returncode}; all of its messages "
                f"are in {self.log}, the last are:\n{_tail(self.log)}"
            )
        return out.decode(errors="replace")

    @contextlib.contextmanager
    def reminders(self, started: float) -> Iterator[None]:
        """Say once a minute that the build still runs, at which step."""
        ended = threading.Event()

        def remind() -> None:
            while not ended.wait(_REMINDER):
                self._say(f"{self._name}: {time.monotonic() - started:.0f} s so far{self._step}")

        thread = threading.Thread(target=remind, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _outer_environment() -> dict[str, str]:
    """The environment without this project's own Python: a tool that is built must not find it."""
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
    # The leader may have ended before the others of its group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def build_all(store: Store, targets: Sequence[Target]) -> None:
    """Build what is missing of these, one after another, since each uses all cores. Raises BuildError."""
    for target in targets:
        store.build(target)
