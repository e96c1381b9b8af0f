"""Child processes that never outlive the harness, with one log file each."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class HarnessError(Exception):
    """The machine or a real component does not do what the harness needs; the message says what to do."""


def wait_until(what: str, ready: Callable[[], object], seconds: float = 30, every: float = 0.1) -> object:
    """Call `ready` until it gives something true, and return that.

    An exception counts as "not yet" and is told in the end.

    Raises:
        HarnessError: `seconds` passed.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            last = ready()
            if last:
                return last
        except Exception as error:
            last = error
        if time.monotonic() > deadline:
            raise HarnessError(f"{what}: not so after {seconds:g} s; last: {last!r}")
        time.sleep(every)


def _die_with_parent() -> None:
    # The kernel sends the signal when the thread that forked ends, so `Process` forks in a thread that stays.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _Forker:
    """Runs Popen in one thread that lives as long as the harness; see `_die_with_parent`."""

    def __init__(self) -> None:
        self._wanted = threading.Condition()
        self._jobs: list[tuple[Callable[[], object], list[object], threading.Event]] = []
        self._thread: threading.Thread | None = None

    def run(self, job: Callable[[], object]) -> object:
        result: list[object] = []
        done = threading.Event()
        with self._wanted:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="forker", daemon=True)
                self._thread.start()
            self._jobs.append((job, result, done))
            self._wanted.notify()
        done.wait()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def _loop(self) -> None:
        while True:
            with self._wanted:
                while not self._jobs:
                    self._wanted.wait()
                job, result, done = self._jobs.pop(0)
            try:
                result.append(job())
            except BaseException as error:
                result.append(error)
            done.set()


_forker = _Forker()


class Process:
    """A child process whose output goes to `log`. It is killed if the harness dies, however it dies."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> "Process":
        with self.log.open("ab") as out:
            self._popen = _forker.run(  # type: ignore[assignment]
                lambda: subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=self._env,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls the kernel, takes no lock
                )
            )
        return self

    @property
    def pid(self) -> int:
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen.pid

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal), or None while it runs or before it was started."""
        return self._popen.poll() if self._popen else None

    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def wait_ready(self, ready: Callable[[], object], seconds: float = 60) -> "Process":
        """Wait until `ready` gives something true; an early end is told with the log's last lines."""

        def check() -> object:
            if not self.running():
                raise _EndedError
            return ready()

        deadline = time.monotonic() + seconds
        while True:
            try:
                if check():
                    return self
            except _EndedError:
                break
            except Exception as error:
                if time.monotonic() > deadline:
                    raise HarnessError(f"{self.name} is not ready: {error}; log {self.log}") from error
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        raise HarnessError(f"{self.name} did not become ready (exit {self.exit_code()}):\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        if self.running():
            assert self._popen is not None
            self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        if self._popen:
            self._popen.wait()

    def stop(self, seconds: float = 10) -> None:
        """SIGTERM, and SIGKILL after `seconds`."""
        if not self._popen:
            return
        self.signal(signal.SIGTERM)
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


class _EndedError(Exception):
    pass


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that is free now.

    It lies below the range from which the kernel gives ports to outgoing connections, so that none of these
    takes it before its server starts.
    """
    import random
    import socket

    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(max(10000, low - 12000), low), 200):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise HarnessError("no free TCP port in 200 tries")


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None) -> str:
    """Run a command to its end and return its output. Raises HarnessError with its messages if it fails."""
    done = subprocess.run(
        list(command), input=stdin, capture_output=True, env={**os.environ, **(env or {})}, check=False
    )
    if done.returncode:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise HarnessError(
            f"{Path(command[0]).name} {' '.join(command[1:4])}: exit {done.returncode}: {text}"
        )
    return done.stdout.decode(errors="replace")


def python(*arguments: str) -> list[str]:
    """The command that runs a module of this project with this interpreter."""
    return [sys.executable, *arguments]
