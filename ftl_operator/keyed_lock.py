"""One thread at a time per key: so that what several want at once is fetched or computed once."""

import contextlib
import threading
from collections.abc import Hashable, Iterator


class KeyedLock:
    """A lock for each key that somebody holds or waits for, and for no other."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Wait until nobody else holds `key`, and hold it."""
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
