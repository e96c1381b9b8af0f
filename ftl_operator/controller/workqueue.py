"""The work queue of apps to reconcile: no duplicates, one worker per app, exponential backoff after failures.

The queue is level-based: an event only says *which* app to reconcile. A burst of events about one app causes
one reconcile, and events that come during a reconcile cause exactly one more.

`fair_share` divides the workers between namespaces: one namespace holds no more than its share of them,
whatever its reconciles wait for (a registry, an issuer, a policy or the app itself).
"""

import heapq
import random
import threading
import time
from collections.abc import Callable

from ftl_operator.api.names import NamespacedName
from ftl_operator.fair_share import FairShare, Rank, Turn

FIRST_DELAY = 1.0
"""Seconds before the first retry of a failed reconcile."""
LONGEST_DELAY = 300.0
"""The longest retry delay, in seconds, after repeated doubling."""


class WorkQueue:
    """Keys that are due, with at most one entry per key and at most one holder per key.

    Args:
        clock: Monotonic seconds.
        jitter: Returns a factor around 1 for each delay, so that apps that failed together are not retried
            together.
        workers: How many keys can be held at once.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.75, 1.25),  # noqa: S311 - not for secrets
        *,
        workers: int = 8,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Condition()
        self._due: dict[NamespacedName, float] = {}
        self._heaps: dict[str, list[tuple[float, NamespacedName]]] = {}
        """When each key is due, by namespace. An entry is stale once an earlier one has replaced it."""
        self._share = FairShare(workers, clock)
        self._held: dict[NamespacedName, Turn] = {}
        self._failures: dict[NamespacedName, int] = {}
        self._closed = False

    def add(self, key: NamespacedName, delay: float = 0.0) -> None:
        """Queue a reconcile of `key` in `delay` seconds, unless an earlier one is queued already."""
        with self._lock:
            due = self._clock() + delay
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                self._push(key)
                self._lock.notify()

    def retry(self, key: NamespacedName, at_least: float = 0.0) -> float:
        """Queue a reconcile after a failure. Returns the delay, which doubles with each failure in a row."""
        with self._lock:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
        delay = max(at_least, min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 30)) * self._jitter())
        self.add(key, delay)
        return delay

    def succeeded(self, key: NamespacedName) -> None:
        """Reset the backoff of `key`."""
        with self._lock:
            self._failures.pop(key, None)

    def forget(self, key: NamespacedName) -> None:
        """Drop a deleted `key` and its backoff."""
        with self._lock:
            self._failures.pop(key, None)
            self._due.pop(key, None)

    def take(self, timeout: float | None = None) -> NamespacedName | None:
        """Wait for a key that is due, is not held, and whose namespace may hold one more; then hold it.

        Returns:
            The key; give it back with `release`. None when the queue is closed or after `timeout` seconds.
        """
        give_up = None if timeout is None else self._clock() + timeout
        with self._lock:
            while not self._closed:
                now = self._clock()
                key, next_due = self._choose(now)
                if key is not None:
                    del self._due[key]
                    self._held[key] = self._share.take(key.namespace)
                    return key
                waits = [] if next_due is None else [next_due - now]
                if give_up is not None:
                    if now >= give_up:
                        return None
                    waits.append(give_up - now)
                self._lock.wait(max(0.0, min(waits)) if waits else None)
            return None

    def release(self, key: NamespacedName) -> None:
        """Let other workers hold `key`, and queue it again if it was added meanwhile."""
        with self._lock:
            turn = self._held.pop(key, None)
            if turn is not None:
                self._share.give_back(turn)
            if key in self._due:
                self._push(key)
            # Wake all: a single woken waiter may not be one that can use the freed slot.
            self._lock.notify_all()

    def close(self) -> None:
        """Make every present and later `take` return None."""
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

    def _push(self, key: NamespacedName) -> None:
        heapq.heappush(self._heaps.setdefault(key.namespace, []), (self._due[key], key))

    def _choose(self, now: float) -> tuple[NamespacedName | None, float | None]:
        """Return the key to hold next; if there is none, the time at which the next one is due."""
        chosen: tuple[Rank, NamespacedName] | None = None
        next_due: float | None = None
        for namespace in list(self._heaps):
            first = self._first(namespace)
            if first is None:
                del self._heaps[namespace]
                continue
            due, key = first
            if due > now:
                next_due = due if next_due is None else min(next_due, due)
            elif self._share.may_take(namespace):
                rank = self._share.rank(namespace, due)
                if chosen is None or rank < chosen[0]:
                    chosen = rank, key
        if chosen is None:
            return None, next_due
        heapq.heappop(self._heaps[chosen[1].namespace])
        return chosen[1], None

    def _first(self, namespace: str) -> tuple[float, NamespacedName] | None:
        heap = self._heaps[namespace]
        # `release` pushes the entry of a held key again.
        while heap and (self._due.get(heap[0][1]) != heap[0][0] or heap[0][1] in self._held):
            heapq.heappop(heap)
        return heap[0] if heap else None
