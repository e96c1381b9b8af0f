"""wasi:cli, wasi:clocks, wasi:random (0.2), which every language's standard library uses."""

import os
import time
from typing import Any

from ftl_operator.host.engine.interface import Interface, Resource, Trap
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.streams.pipe import Pipe
from ftl_operator.host.wasi.io import InputStream, OutputStream, Pollable, Sink, timer

MAX_RANDOM = 1 << 20


class Exit(Trap):
    """The guest called wasi:cli/exit.

    Attributes:
        code: 0 for success.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"exit with status {code}")
        self.code = code


class TerminalInput(Resource):
    """Never created: no guest has a terminal."""

    wit = "terminal-input"


class TerminalOutput(Resource):
    """Never created."""

    wit = "terminal-output"


_environment = Interface("wasi:cli/environment")
_wall = Interface("wasi:clocks/wall-clock")
_monotonic = Interface("wasi:clocks/monotonic-clock")
_random = Interface("wasi:random/random")
_insecure = Interface("wasi:random/insecure")
_started = time.monotonic_ns()


@_environment.function("get-environment")
def _get_environment(guest: GuestInstance) -> list[tuple[str, str]]:
    return list(guest.component.environment.items())


@_environment.function("get-arguments")
def _get_arguments(_guest: GuestInstance) -> list[str]:
    return []


@_environment.function("initial-cwd")
def _initial_cwd(_guest: GuestInstance) -> str | None:
    return None


@Interface("wasi:cli/exit").function("exit")
def _exit(_guest: GuestInstance, status: Any) -> None:
    raise Exit(0 if type(status).__name__ == "Ok" else 1)


@Interface("wasi:cli/exit").function("exit-with-code")
def _exit_with_code(_guest: GuestInstance, code: int) -> None:
    raise Exit(code)


@Interface("wasi:cli/stdin").function("get-stdin")
def _stdin(_guest: GuestInstance) -> InputStream:
    return InputStream(Pipe.of(b""))


@Interface("wasi:cli/stdout").function("get-stdout")
def _stdout(guest: GuestInstance) -> OutputStream:
    return Sink(guest.stdout.write)


@Interface("wasi:cli/stderr").function("get-stderr")
def _stderr(guest: GuestInstance) -> OutputStream:
    return Sink(guest.stderr.write)


for _stream in ("stdin", "stdout", "stderr"):
    Interface(f"wasi:cli/terminal-{_stream}").function(f"get-terminal-{_stream}")(lambda _guest: None)


def _datetime(nanoseconds: int) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return {"seconds": seconds, "nanoseconds": rest}


@_wall.function("now")
def _wall_now(_guest: GuestInstance) -> dict[str, int]:
    return _datetime(time.time_ns())


@_wall.function("resolution")
def _wall_resolution(_guest: GuestInstance) -> dict[str, int]:
    return _datetime(1)


@_monotonic.function("now")
def _now(_guest: GuestInstance) -> int:
    return time.monotonic_ns() - _started


@_monotonic.function("resolution")
def _resolution(_guest: GuestInstance) -> int:
    return 1


@_monotonic.function("subscribe-instant")
def _subscribe_instant(_guest: GuestInstance, when: int) -> Pollable:
    return timer((_started + when) / 1e9)


@_monotonic.function("subscribe-duration")
def _subscribe_duration(_guest: GuestInstance, duration: int) -> Pollable:
    return timer(time.monotonic() + duration / 1e9)


@_random.function("get-random-bytes")
@_insecure.function("get-insecure-random-bytes")
def _random_bytes(_guest: GuestInstance, length: int) -> bytes:
    if length > MAX_RANDOM:
        raise Trap(f"more than {MAX_RANDOM} random bytes at once")
    return os.urandom(length)


@_random.function("get-random-u64")
@_insecure.function("get-insecure-random-u64")
def _random_u64(_guest: GuestInstance) -> int:
    return int.from_bytes(os.urandom(8), "little")


@Interface("wasi:random/insecure-seed").function("insecure-seed", "get-insecure-seed")
def _insecure_seed(guest: GuestInstance) -> tuple[int, int]:
    return _random_u64(guest), _random_u64(guest)
