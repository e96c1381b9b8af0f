"""Lets one thread wait for another."""

import threading
import time
from collections.abc import Callable


class Waker:
    """A place for one thread at a time to wait until something has happened."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        # A lock that the waiter takes and any thread releases costs a tenth of a condition variable. It
        # remembers one wake before the wait, which is enough, because the waiter checks the state itself.
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Make the waiter check again. Write the state that it checks before."""
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
