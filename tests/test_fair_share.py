"""The rule by which tenants share slots, at a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.fair_share import SLOW_FACTOR, SLOW_SECONDS, FairShare


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fill(share, tenant):
    """Every slot that a tenant may take."""
    turns = []
    while share.may_take(tenant):
        turns.append(share.take(tenant))
    return turns


@pytest.mark.parametrize(
    ("slots", "alone", "second"), [(1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 1), (8, 4, 2)]
)
def test_one_tenant_takes_half_and_the_next_half_of_the_rest(clock, slots, alone, second):
    share = FairShare(slots, clock)
    assert len(fill(share, "a")) == alone
    assert len(fill(share, "b")) == second


def test_tenants_that_are_known_to_be_slow_leave_half_to_the_others(clock):
    share = FairShare(8, clock)
    for tenant in "abcdefgh":
        turn = share.take(tenant)
        clock.now += SLOW_SECONDS + 1
        share.give_back(turn)
    assert sum(len(fill(share, tenant)) for tenant in "abcdefgh") == 4
    assert share.may_take("quick")


def test_a_tenant_is_slow_while_it_holds_a_slot_for_long_and_for_a_while_after(clock):
    share = FairShare(8, clock)
    turn = share.take("a")
    assert not share.is_slow("a")
    clock.now += SLOW_SECONDS + 1
    assert share.is_slow("a")
    share.give_back(turn)
    clock.now += SLOW_FACTOR * (SLOW_SECONDS + 1) - 0.1
    assert share.is_slow("a")
    clock.now += 0.2
    assert not share.is_slow("a")


def test_who_was_quick_and_who_holds_least_goes_first(clock):
    share = FairShare(8, clock)
    slow = share.take("slow")
    share.take("busy")
    clock.now += SLOW_SECONDS + 1
    share.give_back(slow)
    share.take("busy")
    since = {"slow": 1, "old": 2, "new": 3}
    order = sorted(since, key=lambda name: share.rank(name, since[name]))
    assert order == ["old", "new", "slow"]
    assert share.rank("new", 9) < share.rank("busy", 1)


def test_with_one_slot_tenants_take_turns(clock):
    share = FairShare(1, clock)
    served = []
    for _ in range(4):
        tenant = min(("a", 1), ("b", 2), key=lambda waiting: share.rank(*waiting))[0]
        served.append(tenant)
        share.give_back(share.take(tenant))
    assert served == ["a", "b", "a", "b"]


def test_nothing_is_remembered_of_who_was_quick(clock):
    share = FairShare(8, clock)
    for number in range(100):
        share.give_back(share.take(number))
    assert share.is_idle
    turn = share.take("slow")
    clock.now += SLOW_SECONDS + 1
    share.give_back(turn)
    assert not share.is_idle
    clock.now += 1000
    assert share.is_idle


STEPS = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 20)), max_size=80)


@given(st.integers(1, 16), STEPS)
def test_slots_are_never_exceeded_and_one_tenant_alone_leaves_room(slots, steps):
    clock = Clock()
    share, turns = FairShare(slots, clock), []
    for tenant, takes, seconds in steps:
        clock.now += seconds
        if takes and share.may_take(tenant):
            turns.append(share.take(tenant))
        elif not takes and turns:
            share.give_back(turns.pop(0))
        assert len(turns) <= slots
    # All that is held is of one tenant: there is always room for another, unless there is one slot only.
    if slots > 1 and len({turn.tenant for turn in turns}) == 1:
        assert share.may_take("newcomer")
