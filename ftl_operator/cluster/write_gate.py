"""The write gate: lets writes begin only while this replica leads, and knows which are under way.

A replica hands over only once none of its writes can still land. So every write passes the gate, and closing
the gate waits for the writes under way.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ftl_operator.errors import ClusterError


class NotLeaderError(ClusterError):
    """Another replica leads, or this one is ending; nothing was written."""


class WriteGate:
    """Lets writes begin while this replica leads. Safe to use from several threads.

    Args:
        allowed: Returns whether this replica may write now. It counts only until the gate is closed.
    """

    def __init__(self, allowed: Callable[[], bool] = lambda: True) -> None:
        self.allowed = allowed
        self._inside: Counter[int] = Counter()
        self._closed = False
        self._lock = threading.Condition()

    def is_open(self) -> bool:
        """Whether a write may begin now."""
        return not self._closed and self.allowed()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Write in the body.

        A thread that is inside may enter again even when the gate is closed, so that several writes can
        belong together.

        Raises:
            NotLeaderError: This replica may not write.
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
        """Let no write begin from now on, and wait for those under way.

        Args:
            seconds: How long to wait.

        Returns:
            Whether every write has ended.
        """
        with self._lock:
            self._closed = True
            return self._lock.wait_for(lambda: not self._inside, seconds)
