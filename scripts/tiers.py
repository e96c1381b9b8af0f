"""`make test`: every tier in turn, what each will take and took; meanwhile the builds that later tiers need.

The builds run beside the first tiers at low priority, for the control plane alone takes as long as several of
them. `KEEP_GOING=1` runs the later tiers though one failed.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from builds.signals import SIGNALS

ROOT = Path(__file__).resolve().parents[1]
BUILDS = ("nice", "-n", "10", sys.executable, "-m", "builds")
GRACE = 60
"""Seconds that what runs gets for its end: the end-to-end tests take a cluster down."""


@dataclass(frozen=True)
class Tier:
    """A `make` target, and how many minutes it takes on two idle cores: the first time, and later."""

    target: str
    first: str
    later: str


TIERS = (
    Tier("check", "½", "½"),
    Tier("unit", "4", "2½"),
    Tier("docs", "½", "½"),
    Tier("rust", "4", "1"),
    Tier("gateway", "10", "1"),
    Tier("integration", "6", "4"),
    Tier("e2e", "12", "10"),
)


@dataclass(frozen=True)
class Ran:
    """A tier that ran: exit status, seconds, and those of processor, which a busy machine hardly changes."""

    tier: Tier
    status: int
    seconds: float
    processor: float


class Runner:
    """Runs commands in process groups of their own and ends what runs when a signal comes."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        SIGNALS.install()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in the repository's folder."""
        with SIGNALS.held():
            child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
            self._running.append(child)
        return child

    def end(self) -> None:
        """Ask everything that runs to end, wait, and kill what stays."""
        SIGNALS.ignore()
        for number in (signal.SIGINT, signal.SIGTERM):
            for child in self._running:
                if child.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, number)
            for child in self._running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(GRACE)
        for child in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def run(runner: Runner, *, keep_going: bool) -> list[Ran]:
    """Run the tiers in order until one fails, or all of them."""
    results: list[Ran] = []
    for tier in TIERS:
        say(f"{tier.target}: about {tier.first} min the first time on two idle cores, {tier.later} later")
        started, used = time.monotonic(), processor_seconds()
        status = runner.start("make", "--no-print-directory", tier.target).wait()
        results.append(Ran(tier, status, time.monotonic() - started, processor_seconds() - used))
        say(f"{tier.target}: {verdict(results[-1])}")
        if status and not keep_going:
            break
    return results


def processor_seconds() -> float:
    """What the processes used that ended and were waited for, with their own children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def verdict(result: Ran) -> str:
    """Whether a tier passed, and its time."""
    outcome = f"FAILED ({result.status})" if result.status else "passed"
    return f"{outcome} in {clock(result.seconds)}, {clock(result.processor)} of processor"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    return "{}:{:02}".format(*divmod(round(seconds), 60))


def say(line: str) -> None:
    """Print a line that stands out from the tiers' own."""
    print(f"== {line}", flush=True)


def main() -> int:
    """Return 0 if every tier passed."""
    runner = Runner()
    started = time.monotonic()
    try:
        # A failure shows again in the tier that needs what was not built.
        runner.start(*BUILDS)
        results = run(runner, keep_going=bool(os.environ.get("KEEP_GOING")))
    finally:
        runner.end()
    say(f"all: {clock(time.monotonic() - started)}")
    for result in results:
        say(f"  {result.tier.target:<12} {verdict(result)}")
    return 0 if len(results) == len(TIERS) and not any(result.status for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
