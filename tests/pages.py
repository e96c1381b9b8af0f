"""Runs the commands of a documentation page as its reader would, in an empty folder.

A fence is run as the HTML comment above it says:

    <!-- docs: file NAME -->        the fence is saved as NAME
    <!-- docs: run -->              the fence runs in bash and must succeed; variables last to the page's end
    <!-- docs: background TEXT -->  the fence runs until the page's end; TEXT must appear in its output
    <!-- docs: output -->           every line of the fence must appear in the last run's output
    <!-- docs: until TEXT -->       the fence runs again and again until TEXT appears in its output
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^(?:<!-- docs: (?P<say>[^\n]*?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
DEADLINE = 240
"""Seconds that one fence may take."""


@dataclass(frozen=True)
class Fence:
    """A fence and what is to be done with it."""

    directive: str
    argument: str
    kind: str
    text: str


def fences(page: Path) -> Iterator[Fence]:
    """The fences of a page, in order."""
    for found in _FENCE.finditer(page.read_text()):
        directive, _, argument = (found["say"] or "").partition(" ")
        yield Fence(directive, argument, found["kind"], found["text"])


class Reader:
    """Follows a page in a folder, with `FTL_REPOSITORY` naming the repository."""

    def __init__(self, folder: Path, state: Path, repository: Path) -> None:
        self._folder = folder
        self._state = state / "variables.sh"
        self._state.write_text("")
        self._output = ""
        self._background: list[subprocess.Popen[bytes]] = []
        self._log = state / "background.log"
        path = f"{repository / '.venv/bin'}:{os.environ['PATH']}"
        self._environment = {**os.environ, "FTL_REPOSITORY": str(repository), "PATH": path}

    def follow(self, page: Path) -> None:
        """Do all that the page says. Raises AssertionError with the command that failed."""
        try:
            for fence in fences(page):
                self._do(fence)
        finally:
            for process in self._background:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)

    def _do(self, fence: Fence) -> None:
        match fence.directive:
            case "file":
                (self._folder / fence.argument).write_text(fence.text)
            case "run":
                code, self._output = self._run(fence.text)
                assert code == 0, f"{fence.text}\nended with {code}:\n{self._output}"
            case "until":
                self._repeat(fence)
            case "background":
                self._start(fence)
            case "output":
                for line in filter(None, map(str.strip, fence.text.splitlines())):
                    squeezed = re.sub(r"\s+", " ", self._output)
                    assert re.sub(r"\s+", " ", line) in squeezed, f"{line!r} is not in:\n{self._output}"
            case "":
                assert fence.kind != "sh", f"a command that nothing runs: {fence.text}"
            case _:
                raise AssertionError(f"no such directive: {fence.directive}")

    def _run(self, text: str) -> tuple[int, str]:
        script = f"set -aeuo pipefail\n. '{self._state}'\n{text}\ndeclare -px > '{self._state}'\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def _repeat(self, fence: Fence) -> None:
        deadline = time.monotonic() + DEADLINE
        while True:
            _, self._output = self._run(fence.text)
            if fence.argument in self._output:
                return
            assert time.monotonic() < deadline, f"{fence.argument!r} never appeared:\n{self._output}"

    def _start(self, fence: Fence) -> None:
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"set -eu\n{fence.text}"],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._background.append(process)
        deadline = time.monotonic() + DEADLINE
        while fence.argument not in (said := self._log.read_text(errors="replace")):
            assert process.poll() is None, f"{fence.text}\nended with {process.returncode}:\n{said}"
            assert time.monotonic() < deadline, f"{fence.argument!r} never appeared:\n{said}"
            time.sleep(0.05)
