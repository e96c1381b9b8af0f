"""Circuit breakers: keep a slow or dead registry from blocking the workers that other apps need.

Each registry has one breaker per tenant (namespace). A closed breaker lets requests through. After a failure
it is open for a while, so that a hundred apps of a dead registry cost one timeout instead of a hundred. Then
it is half-open: one trial request until one succeeds. A breaker whose registry has not answered yet is
half-open too. A request that finds no free slot is retried later; it does not block a worker.

A tenant's failures open its own breakers only, because one host may serve two tenants from different
backends. `fair_share` divides between tenants the connections to one registry, and the slots for requests to
registries that have not answered.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ftl_operator.errors import COME_BACK, RegistryError, WaitingError
from ftl_operator.fair_share import FairShare, Turn
from ftl_operator.registry.http import TransientError

FIRST_PAUSE = 5.0
"""Seconds a breaker stays open after the first failure; doubled by each further one."""
LONGEST_PAUSE = 60.0
"""The most seconds it stays open."""
PATIENCE = 0.25
"""Seconds to wait for a slot; a registry that answers serves many requests in that time. For a half-open
breaker the wait counts from the start of the trial request."""
MAX_BREAKERS = 4096
"""How many breakers are kept; the least recently used are dropped first."""


@dataclass(slots=True)
class _Breaker:
    tenant: str
    registry: str
    pins: int = 0
    """Requests that are under way or wait for a slot; the breaker is not dropped while there are any."""
    inside: int = 0
    since: float = 0.0
    """When the last request began."""
    answers: bool = False
    """Whether the last request that ended had an answer."""
    failures: int = 0
    open_until: float = 0.0


class CircuitBreakers:
    """The breakers of all registries, by tenant.

    Args:
        width: How many requests to one registry may be under way at once, and how many to all registries that
            have not answered.
        clock: Monotonic seconds.
    """

    def __init__(self, width: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._width = width
        self._clock = clock
        self._lock = threading.Condition()
        self._breakers: dict[tuple[str, str], _Breaker] = {}
        """In the order of their last use."""
        self._connections: dict[str, FairShare] = {}
        self._unproven = FairShare(width, clock)

    @contextlib.contextmanager
    def enter(self, tenant: str, registry: str) -> Iterator[None]:
        """Send requests to a registry in the body, on behalf of a namespace.

        Raises:
            WaitingError: No slot is free.
            RegistryError: The registry failed last time, and the breaker is open or its trial request takes a
                slot that is not free; `retry_after` says until when.
        """
        breaker, turns = self._begin(tenant, registry)
        failure: TransientError | None = None
        try:
            yield
        except TransientError as error:
            # Only transient failures open the breaker; a refusal concerns one app only.
            failure = error
            raise
        finally:
            self._end(breaker, turns, failure)

    def __len__(self) -> int:
        """How many breakers and registries are kept."""
        return len(self._breakers) + len(self._connections)

    def _begin(self, tenant: str, registry: str) -> tuple[_Breaker, list[tuple[FairShare, Turn]]]:
        with self._lock:
            breaker = self._breaker(tenant, registry)
            left = breaker.open_until - self._clock()
            if left > 0:
                raise _does_not_answer(registry, left)
            breaker.pins += 1
            taken = 0.0 if breaker.answers else self._clock() - self._newest(breaker)
            if not self._lock.wait_for(lambda: self._has_room(breaker), max(0.0, PATIENCE - taken)):
                breaker.pins -= 1
                # The longer the trial request takes, the less often others ask.
                seconds = max(COME_BACK, taken) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
                if breaker.failures:
                    # What waits for a trial request is not a busy registry, but one that failed last time.
                    raise _does_not_answer(registry, seconds)
                raise WaitingError(f"{registry} is busy", seconds)
            breaker.inside += 1
            breaker.since = self._clock()
            shares = [self._connections_of(registry)] + [self._unproven] * (not breaker.answers)
            return breaker, [(share, share.take(tenant)) for share in shares]

    def _end(
        self, breaker: _Breaker, turns: list[tuple[FairShare, Turn]], failure: TransientError | None
    ) -> None:
        with self._lock:
            for share, turn in turns:
                share.give_back(turn)
            breaker.pins -= 1
            breaker.inside -= 1
            breaker.answers = failure is None
            self._lock.notify_all()
            if failure is None:
                breaker.failures, breaker.open_until = 0, 0.0
                return
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(breaker.failures, 30))
            breaker.failures += 1
            breaker.open_until = self._clock() + max(pause, failure.retry_after or 0.0)

    def _breaker(self, tenant: str, registry: str) -> _Breaker:
        key = (tenant, registry)
        breaker = self._breakers.pop(key, None) or _Breaker(tenant, registry)
        self._breakers[key] = breaker
        if len(self._breakers) > MAX_BREAKERS:
            unused = next((key for key, other in self._breakers.items() if not other.pins), None)
            if unused is not None:
                del self._breakers[unused]
        return breaker

    def _connections_of(self, registry: str) -> FairShare:
        if registry not in self._connections:
            self._connections = {name: kept for name, kept in self._connections.items() if not kept.is_idle}
            self._connections[registry] = FairShare(self._width, self._clock)
        return self._connections[registry]

    def _half_open(self) -> list[_Breaker]:
        return [other for other in self._breakers.values() if other.inside and not other.answers]

    def _newest(self, breaker: _Breaker) -> float:
        """When the trial request began that a request to this half-open breaker waits for."""
        inside = [breaker] if breaker.inside else self._half_open()
        return max((other.since for other in inside), default=self._clock())

    def _has_room(self, breaker: _Breaker) -> bool:
        tenant = breaker.tenant
        if not self._connections_of(breaker.registry).may_take(tenant):
            return False
        if breaker.answers:
            return True
        # Half-open: one trial request until one succeeds.
        if breaker.inside or not self._unproven.may_take(tenant):
            return False
        # A tenant's registries that failed before get a quarter of the slots; the untried ones get the rest.
        failing = sum(1 for other in self._half_open() if other.tenant == tenant and other.failures)
        return not breaker.failures or failing < max(1, self._width // 4)


def _does_not_answer(registry: str, seconds: float) -> RegistryError:
    # Not the error that opened the breaker: that one names another app's references.
    return RegistryError(
        f"the registry {registry} does not answer; it is tried again soon", retry_after=seconds
    )
