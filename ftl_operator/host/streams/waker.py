"""Where one thread waits for what another does."""

import threading
import time
from collections.abc import Callable


class Waker:
    """A place for one thread at a time to wait until something has happened."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        # A lock that the waiter takes and anybody gives back costs a tenth of a condition variable. One wake
        # before the wait is remembered, and more than one is as good, since the waiter looks for itself.
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Have the waiter look again; what it looks for has been written before."""
        try:
            self._lock.release()
        except RuntimeError:
            return

    def wait(self, happened: Callable[[], bool], until: float | None) -> bool:
        """Wait for `happened()`, or the time `until` on the monotonic clock. Returns whether it has."""
        while not happened():
            rest = -1.0 if until is None else until - time.monotonic()
            if until is not None and rest <= 0:
                return False
            self._lock.acquire(timeout=min(rest, threading.TIMEOUT_MAX))
        return True
