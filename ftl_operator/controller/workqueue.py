"""The queue of apps to look at: each at most once, never two workers on one, failures with growing delays.

It is the level-based half of the controller: an event only says *which* app to look at, so a burst of
events about one app is one look, and an event that comes during a look causes exactly one more.
"""

import heapq
import random
import threading
import time
from collections.abc import Callable

from ftl_operator.api.names import NamespacedName

FIRST_DELAY = 1.0
"""Seconds before the first retry of a failed look."""
LONGEST_DELAY = 300.0
"""Seconds that the doubling of retry delays stops at."""


class WorkQueue:
    """Keys that are due, with at most one entry per key and at most one holder per key.

    Args:
        clock: Monotonic seconds.
        jitter: Gives a factor around 1 for each delay, so that apps that failed together do not return
            together.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.75, 1.25),  # noqa: S311 - not for secrets
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Condition()
        self._due: dict[NamespacedName, float] = {}
        self._heap: list[tuple[float, NamespacedName]] = []
        self._held: set[NamespacedName] = set()
        self._failures: dict[NamespacedName, int] = {}
        self._closed = False

    def add(self, key: NamespacedName, delay: float = 0.0) -> None:
        """Ask for a look at `key` in `delay` seconds; an earlier request that still waits stays."""
        with self._lock:
            due = self._clock() + delay
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._heap, (due, key))
                self._lock.notify()

    def retry(self, key: NamespacedName, at_least: float = 0.0) -> float:
        """Ask for another look after a failure and return its delay, which doubles with each one in a row."""
        with self._lock:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
        delay = max(at_least, min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 30)) * self._jitter())
        self.add(key, delay)
        return delay

    def succeeded(self, key: NamespacedName) -> None:
        """The next failure of `key` starts with the shortest delay again."""
        with self._lock:
            self._failures.pop(key, None)

    def forget(self, key: NamespacedName) -> None:
        """`key` is gone: no look at it is due any more."""
        with self._lock:
            self._failures.pop(key, None)
            self._due.pop(key, None)

    def take(self, timeout: float | None = None) -> NamespacedName | None:
        """Wait for a key that is due and that nobody holds, and hold it.

        Returns:
            The key, to be given back with `release`; None when the queue is closed or `timeout` seconds
            passed.
        """
        give_up = None if timeout is None else self._clock() + timeout
        with self._lock:
            while not self._closed:
                now = self._clock()
                key = self._pop(now)
                if key is not None:
                    self._held.add(key)
                    return key
                waits = [self._heap[0][0] - now] if self._heap else []
                if give_up is not None:
                    if now >= give_up:
                        return None
                    waits.append(give_up - now)
                self._lock.wait(max(0.0, min(waits)) if waits else None)
            return None

    def release(self, key: NamespacedName) -> None:
        """Let others hold `key`; requests that came meanwhile are due then."""
        with self._lock:
            self._held.discard(key)
            if key in self._due:
                heapq.heappush(self._heap, (self._due[key], key))
            self._lock.notify()

    def close(self) -> None:
        """Wake every waiter with None, now and from now on."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()

    def __len__(self) -> int:
        """How many keys are due now or later."""
        return len(self._due)

    def ready(self) -> int:
        """How many keys are due now: the backlog."""
        now = self._clock()
        with self._lock:
            return sum(due <= now for due in self._due.values())

    def _pop(self, now: float) -> NamespacedName | None:
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            # An entry is stale when an earlier one replaced it; a held key's entry comes back on release.
            if self._due.get(key) == due and key not in self._held:
                del self._due[key]
                return key
        return None
