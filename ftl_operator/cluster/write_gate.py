"""Whether this replica may act, and whether something it began is still under way.

A replica hands over only once nothing of its own can land any more; so whoever acts passes the gate, and
closing it waits for those who are inside.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ftl_operator.errors import ClusterError


class NotLeaderError(ClusterError):
    """Another replica acts, or this one is ending; nothing was written."""


class WriteGate:
    """Lets actions pass while this replica may act. Safe to use from several threads.

    Args:
        allowed: Whether this replica may act now, as long as the gate was not closed.
    """

    def __init__(self, allowed: Callable[[], bool] = lambda: True) -> None:
        self.allowed = allowed
        self._inside: Counter[int] = Counter()
        self._closed = False
        self._lock = threading.Condition()

    def is_open(self) -> bool:
        """Whether an action may begin now."""
        return not self._closed and self.allowed()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Act in the body.

        Who is inside already may go on inside even when the gate is closed: so can several writes be one
        action.

        Raises:
            NotLeaderError: This replica may not act.
        """
        thread = threading.get_ident()
        with self._lock:
            if not self.allowed() or (self._closed and not self._inside[thread]):
                raise NotLeaderError("this replica does not hold the Lease, or is ending")
            self._inside[thread] += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= Counter({thread: 1})
                self._lock.notify_all()

    def close(self, seconds: float) -> bool:
        """Let nothing begin from now on, and wait for what has begun.

        Args:
            seconds: How long to wait.

        Returns:
            Whether nothing is under way any more.
        """
        with self._lock:
            self._closed = True
            return self._lock.wait_for(lambda: not self._inside, seconds)
