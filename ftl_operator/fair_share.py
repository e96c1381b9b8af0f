"""Divides a fixed number of slots between tenants, so that no tenant's slow work stops another tenant.

A tenant is a namespace. The workers, the connections to a registry, the requests to issuers, the inspections
and the probes are all divided by this one rule:

1. A tenant takes a slot only while it holds fewer slots than are free. One tenant alone therefore holds at
   most half of them (rounded up), a second one half of the rest, and so on.
2. A tenant is *slow* while it holds a slot for longer than `SLOW_SECONDS`, and after such a turn for
   `SLOW_FACTOR` times as long as the turn lasted. All slow tenants together hold at most half of the slots.
3. Among tenants that wait, those that are not slow come first, then those that hold the fewest slots, then
   those whose last turn began longest ago, then those that have waited longest.

Guarantees: one slow tenant never holds more than half of the slots. All tenants that are known to be slow
    hold
half together, so a quick tenant is served from the other half. Limits: several tenants that were never slow
before can take every slot at the same moment. A quick tenant then waits for the first of them, at most for
the deadline of one exchange or inspection. This happens once, because afterwards they are known to be slow.
The cluster's administrator limits who may create namespaces. With a single slot a quick tenant waits for the
turn that is under way.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

SLOW_SECONDS = 5.0
"""A turn that lasts longer makes its tenant slow."""
SLOW_FACTOR = 10.0
"""After a slow turn, a tenant stays slow for so many times the turn's duration."""

MAX_REMEMBERED = 4096
"""The number of tenants whose last turn is remembered."""

Tenant = Hashable
Rank = tuple[bool, int, int, float]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A slot that a tenant holds since `began` (in seconds of the scheduler's clock)."""

    tenant: Tenant
    began: float


class FairShare:
    """The slots of one resource. The caller holds a lock around every call.

    Args:
        slots: How many slots there are.
        clock: Monotonic seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._clock = clock
        self._turns: dict[Tenant, set[Turn]] = {}
        self._slow_until: dict[Tenant, float] = {}
        self._count = 0
        self._last: dict[Tenant, int] = {}
        """The number of each tenant's last turn, in the order of turns."""

    @property
    def is_idle(self) -> bool:
        """Whether no slot is held and no tenant is known to be slow."""
        self._forget()
        return not self._turns and not self._slow_until

    def held(self, tenant: Tenant) -> int:
        """How many slots a tenant holds."""
        return len(self._turns.get(tenant, ()))

    def is_slow(self, tenant: Tenant) -> bool:
        """Whether a tenant is slow (rule 2)."""
        now = self._clock()
        return now < self._slow_until.get(tenant, now) or any(
            now - turn.began > SLOW_SECONDS for turn in self._turns.get(tenant, ())
        )

    def may_take(self, tenant: Tenant) -> bool:
        """Whether a tenant may take one more slot now (rules 1 and 2)."""
        free = self._slots - sum(len(turns) for turns in self._turns.values())
        if self.held(tenant) >= free:
            return False
        if not self.is_slow(tenant):
            return True
        slow = sum(len(turns) for other, turns in self._turns.items() if self.is_slow(other))
        return slow < max(1, self._slots // 2)

    def rank(self, tenant: Tenant, since: float) -> Rank:
        """The rank of a tenant that has waited `since` a moment; the lowest rank comes first (rule 3)."""
        return self.is_slow(tenant), self.held(tenant), self._last.get(tenant, 0), since

    def take(self, tenant: Tenant) -> Turn:
        """Take a slot that `may_take` has allowed; return it with `give_back`."""
        turn = Turn(tenant, self._clock())
        self._turns.setdefault(tenant, set()).add(turn)
        self._count += 1
        self._last.pop(tenant, None)
        self._last[tenant] = self._count
        if len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]
        return turn

    def give_back(self, turn: Turn) -> None:
        """End a turn."""
        turns = self._turns[turn.tenant]
        turns.remove(turn)
        if not turns:
            del self._turns[turn.tenant]
        now = self._clock()
        lasted = now - turn.began
        if lasted > SLOW_SECONDS:
            until = now + SLOW_FACTOR * lasted
            self._slow_until[turn.tenant] = max(until, self._slow_until.get(turn.tenant, until))
        self._forget()

    def _forget(self) -> None:
        now = self._clock()
        ended = [tenant for tenant, until in self._slow_until.items() if until <= now]
        for tenant in ended:
            del self._slow_until[tenant]
