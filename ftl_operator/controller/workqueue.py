"""The queue of apps to look at: each at most once, never two workers on one, failures with growing delays.

It is the level-based half of the controller: an event only says *which* app to look at, so a burst of
events about one app is one look, and an event that comes during a look causes exactly one more.

Workers are shared between namespaces by `fair_share`: whatever a reconcile waits for, be it a registry, an
issuer, a policy or the app itself, one namespace holds its share of the workers and no more.
"""

import heapq
import random
import threading
import time
from collections.abc import Callable

from ftl_operator.api.names import NamespacedName
from ftl_operator.fair_share import FairShare, Rank, Turn

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
        workers: How many keys are held at once.
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
        """By namespace, what is due when. An entry is stale when an earlier one has replaced it."""
        self._share = FairShare(workers, clock)
        self._held: dict[NamespacedName, Turn] = {}
        self._failures: dict[NamespacedName, int] = {}
        self._closed = False

    def add(self, key: NamespacedName, delay: float = 0.0) -> None:
        """Ask for a look at `key` in `delay` seconds; an earlier request that still waits stays."""
        with self._lock:
            due = self._clock() + delay
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                self._push(key)
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
        """Wait for a key that is due, that nobody holds and whose namespace may hold one more, and hold it.

        Returns:
            The key, to be given back with `release`; None when the queue is closed or `timeout` seconds
            passed.
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
        """Let others hold `key`; requests that came meanwhile are due then."""
        with self._lock:
            turn = self._held.pop(key, None)
            if turn is not None:
                self._share.give_back(turn)
            if key in self._due:
                self._push(key)
            # All of them: the one that is woken may be none that the freed slot is for.
            self._lock.notify_all()

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

    def _push(self, key: NamespacedName) -> None:
        heapq.heappush(self._heaps.setdefault(key.namespace, []), (self._due[key], key))

    def _choose(self, now: float) -> tuple[NamespacedName | None, float | None]:
        """The key to hold next, if there is one; else the moment at which the next one is due."""
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
        # A held key's entry comes back on release.
        while heap and (self._due.get(heap[0][1]) != heap[0][0] or heap[0][1] in self._held):
            heapq.heappop(heap)
        return heap[0] if heap else None
