"""Signals that end a program become SystemExit, so that it ends its own child processes first."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """Raises SystemExit with 128 plus the signal's number in the main thread, but never within `held`."""

    def __init__(self) -> None:
        self._is_held = False
        self._number = 0

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in ENDING:
            signal.signal(number, self._on_signal)

    def ignore(self) -> None:
        """Ignore further signals while the program ends."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Start a child and record it in the body; a signal in between would leave the child behind."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._number:
            raise SystemExit(128 + self._number)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._number = number
        if not self._is_held:
            raise SystemExit(128 + number)


SIGNALS = EndingSignals()
"""Of this process."""
