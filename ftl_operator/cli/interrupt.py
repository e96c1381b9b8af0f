"""Ends a command at the first Ctrl-C or SIGTERM: in order, once, and within a bounded time."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ftl_operator.cli.console import EXIT_INTERRUPTED

STOP_SECONDS = 15.0
"""How long a command may take to end in order; then the process ends as it is."""


@contextmanager
def interruptible() -> Iterator[None]:
    """The first signal raises KeyboardInterrupt (SIGINT) or SystemExit(143) (SIGTERM); others do nothing.

    A second signal would interrupt the cleaning up that the first one began, which could then wait for ever.
    """
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            return
        stopping = True
        code = EXIT_INTERRUPTED if number == signal.SIGINT else 128 + number
        # Not even a cleaning up that waits for something can keep the process.
        timer = threading.Timer(STOP_SECONDS, os._exit, (code,))
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(code)

    # Shells start what runs in the background with SIGINT ignored, and so it stays.
    numbers = [
        number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            # After a signal nothing but the end follows, and the interpreter takes a while for it.
            signal.signal(number, signal.SIG_IGN if stopping else before[number])
