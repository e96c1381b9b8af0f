"""A cache with a time to live for the results of checks, successes and failures, of bounded size."""

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from ftl_operator.errors import FtlError

T = TypeVar("T")

MAX_ENTRIES = 1024


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The result of a check: a value, or the error that it raised."""

    value: T | None
    error: FtlError | None = None

    def result(self) -> T:
        """Return the value, or raise a copy of the error: a caller that catches it may set its field."""
        if self.error is not None:
            raise copy.copy(self.error)
        return cast("T", self.value)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    tenant: Hashable
    until: float
    outcome: Outcome[T]
    failures: int = 0


class TtlCache(Generic[T]):
    """Outcomes by key. Safe to use from several threads.

    A full cache drops the oldest entry of the tenant with the most entries, so a tenant that fills the cache
    loses its own entries.

    Args:
        clock: Monotonic seconds.
        max_entries: How many outcomes are kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._entries: dict[Hashable, _Entry[T]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Outcome[T] | None:
        """The outcome; None if there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
        return entry.outcome if entry is not None and self._clock() < entry.until else None

    def put(self, tenant: Hashable, key: Hashable, value: T, seconds: float) -> None:
        """Store a value."""
        self._keep(key, _Entry(tenant, self._clock() + seconds, Outcome(value)))

    def fail(
        self, tenant: Hashable, key: Hashable, error: FtlError, first_seconds: float, longest_seconds: float
    ) -> None:
        """Store a failure, for twice as long after each further failure of the same key."""
        with self._lock:
            before = self._entries.get(key)
        failures = before.failures if before is not None else 0
        seconds = min(longest_seconds, first_seconds * 2.0 ** min(failures, 30))
        self._keep(key, _Entry(tenant, self._clock() + seconds, Outcome(None, error), failures + 1))

    def _keep(self, key: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = entry
            if len(self._entries) <= self._max_entries:
                return
            # An expired failure still determines the next pause, so entries stay until the cache is full.
            now = self._clock()
            self._entries = {name: kept for name, kept in self._entries.items() if now < kept.until}
            while len(self._entries) > self._max_entries:
                ((largest, _),) = Counter(kept.tenant for kept in self._entries.values()).most_common(1)
                del self._entries[next(k for k, kept in self._entries.items() if kept.tenant == largest)]
