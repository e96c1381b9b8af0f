"""Runs the commands of a documentation page as its reader would, in an empty folder.

A fence is run as the HTML comment above it says:

    <!-- docs: file NAME -->        the fence is saved as NAME
    <!-- docs: run -->              the fence runs in bash and must succeed; variables last to the page's end
    <!-- docs: background TEXT -->  the fence runs until the page's end; TEXT must appear in its output
    <!-- docs: output -->           the fence is the last run's output; `…` stands for text that is left out
    <!-- docs: until TEXT -->       the fence runs again and again until TEXT appears in its output
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

_FENCE = re.compile(
    r"^(?:<!-- docs: (?P<say>[^\n]*?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")
_UP = re.compile(r"^(ftl-operator up .*)$", re.MULTILINE)
UP_PORT = "3000"
"""The port that `ftl-operator up` takes by itself."""
DEADLINE = 600
"""Seconds that one fence may take: much more than it needs, for a machine that does much else."""


@dataclass(frozen=True)
class Fence:
    """A fence and what is to be done with it."""

    directive: str
    argument: str
    kind: str
    text: str
    before: str = ""
    """What the reader sees between the fence before it and this one."""


def fences(page: Path) -> Iterator[Fence]:
    """The fences of a page, in order."""
    whole = page.read_text()
    end = 0
    for found in _FENCE.finditer(whole):
        directive, _, argument = (found["say"] or "").partition(" ")
        yield Fence(directive, argument, found["kind"], found["text"], whole[end : found.start()])
        end = found.end()


def shows(shown: str, said: str) -> bool:
    """Whether a page shows what a command said: word for word, but that `…` stands for any text.

    A line of the output that ends with `…` announces a step that takes long: only a slow machine prints it.
    """
    said = "\n".join(line for line in said.splitlines() if not line.endswith(" …"))
    pieces = [re.escape(" ".join(piece.split())) for piece in shown.split("…")]
    pattern = r"\s*.*?\s*".join(pieces)
    return re.fullmatch(pattern, " ".join(said.split()), re.DOTALL) is not None


class Reader:
    """Follows a page in a folder, with `FTL_REPOSITORY` naming the repository.

    The ports that the page names on 127.0.0.1 become free ones: the reader's own programs may have those.
    """

    def __init__(self, folder: Path, state: Path, repository: Path) -> None:
        self._folder = folder
        self._state = state / "variables.sh"
        self._state.write_text("")
        self._output = ""
        self._background: list[subprocess.Popen[bytes]] = []
        self._log = state / "background.log"
        path = f"{repository / '.venv/bin'}:{os.environ['PATH']}"
        self._environment = {**os.environ, "FTL_REPOSITORY": str(repository), "PATH": path}
        self._ports: dict[str, str] = {}

    def follow(self, page: Path) -> None:
        """Do all that the page says. Raises AssertionError with the command that failed."""
        try:
            for fence in fences(page):
                self._do(fence)
        finally:
            for process in self._background:
                _end(process)

    def _with_free_ports(self, text: str) -> str:
        def free(found: re.Match[str]) -> str:
            return f"127.0.0.1:{self._port(found[1])}"

        text = _ADDRESS.sub(free, text)
        return _UP.sub(lambda found: f"{found[1]} --port {self._port(UP_PORT)}", text)

    def _port(self, named: str) -> str:
        if named not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as server:
                self._ports[named] = str(server.getsockname()[1])
        return self._ports[named]

    def _do(self, fence: Fence) -> None:
        text, argument = self._with_free_ports(fence.text), self._with_free_ports(fence.argument)
        fence = replace(fence, text=text, argument=argument)
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
                assert shows(fence.text, self._output), f"{fence.text}\nis not what it said:\n{self._output}"
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


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ctrl-C for a program and what it started. It may have ended by itself, which is then told elsewhere."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
