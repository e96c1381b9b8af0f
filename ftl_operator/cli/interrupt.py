"""Ends a command at the first Ctrl-C or SIGTERM, with a clean-up of bounded time."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ftl_operator.cli.console import EXIT_INTERRUPTED

STOP_SECONDS = 15.0
"""How long the clean-up may take; then the process exits without it."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt (SIGINT) or SystemExit(143) (SIGTERM) at the first signal; ignore later ones.

    A second signal would interrupt the clean-up, which could then wait for ever.
    """
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            return
        stopping = True
        code = EXIT_INTERRUPTED if number == signal.SIGINT else 128 + number
        # Ends the process even if the clean-up hangs.
        timer = threading.Timer(STOP_SECONDS, os._exit, (code,))
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(code)

    # Shells start background processes with SIGINT ignored; keep it ignored then.
    numbers = [
        number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            # After a signal the process ends, and the interpreter's exit takes a moment: ignore further
            # signals.
            signal.signal(number, signal.SIG_IGN if stopping else before[number])
