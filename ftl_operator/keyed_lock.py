"""A lock per key, so that several threads that need the same thing fetch or compute it once."""

import contextlib
import threading
from collections.abc import Hashable, Iterator


class KeyedLock:
    """Locks by key. A lock exists only while a thread holds it or waits for it."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Hold `key` in the body; wait until no other thread holds it."""
        with self._guard:
            lock, users = self._held.get(key, (threading.Lock(), 0))
            self._held[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._held.pop(key)
                if users > 1:
                    self._held[key] = (lock, users - 1)
