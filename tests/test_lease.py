"""The election against an API server's rules for Leases: compare-and-swap by resourceVersion."""

import copy

import pytest

from ftl_operator.errors import ClusterError
from ftl_operator.kube import ConflictError
from ftl_operator.lease import LEASE_SECONDS, RENEW_DEADLINE_SECONDS, Leadership


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Leases:
    """One Lease, as an API server keeps it."""

    def __init__(self):
        self.lease = None
        self.down = False
        self.version = 0

    def read_lease(self, namespace, name):
        if self.down:
            raise ClusterError("no answer")
        return copy.deepcopy(self.lease)

    def write_lease(self, namespace, lease):
        if self.down:
            raise ClusterError("no answer")
        held = self.lease and self.lease["metadata"]["resourceVersion"]
        if lease["metadata"].get("resourceVersion") != held:
            raise ConflictError("somebody was faster")
        self.version += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return self.lease


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases():
    return Leases()


@pytest.fixture
def pair(leases, clock):
    return [Leadership(leases, "ftl", "ftl-operator", name, clock) for name in ("one", "two")]


def test_the_first_leads_and_the_second_waits(pair, leases):
    one, two = pair
    one.step()
    two.step()
    assert (one.held(), two.held()) == (True, False)
    assert leases.lease["spec"]["holderIdentity"] == "one"


def test_a_renewing_leader_is_never_replaced(pair, clock):
    one, two = pair
    for _ in range(30):
        one.step()
        two.step()
        assert (one.held(), two.held()) == (True, False)
        clock.now += 3


def test_a_dead_leader_is_replaced_in_under_twenty_seconds(pair, clock):
    one, two = pair
    one.step()
    two.step()
    died = clock.now
    while not two.held():
        clock.now += 2
        two.step()
    assert clock.now - died < 20


def test_two_never_lead_at_once_even_if_the_first_comes_back_late(pair, leases, clock):
    one, two = pair
    one.step()
    two.step()
    for _ in range(12):
        clock.now += 2
        two.step()
        assert not (one.held() and two.held())
    assert two.held()
    one.step()
    assert not one.held()
    assert leases.lease["spec"]["leaseTransitions"] == 1


def test_a_leader_that_cannot_renew_stops_before_another_may_start(pair, leases, clock):
    one, two = pair
    one.step()
    two.step()
    leases.down = True
    clock.now += RENEW_DEADLINE_SECONDS
    one.step()
    assert not one.held()
    assert RENEW_DEADLINE_SECONDS < LEASE_SECONDS
    leases.down = False
    one.step()
    assert one.held()


def test_a_lost_race_is_a_lost_election(pair, leases):
    one, two = pair
    read = leases.read_lease

    def race(*arguments):
        found = read(*arguments)
        leases.read_lease = read
        two.step()
        return found

    leases.read_lease = race
    one.step()
    assert (one.held(), two.held()) == (False, True)


def test_a_leader_that_resigns_is_replaced_at_once(pair):
    one, two = pair
    one.step()
    two.step()
    one.resign()
    assert not one.held()
    two.step()
    assert two.held()


def test_resigning_takes_nothing_from_another(pair, leases, clock):
    one, two = pair
    one.step()
    two.step()
    clock.now += LEASE_SECONDS + 1
    two.step()
    assert two.held()
    one.resign()
    assert leases.lease["spec"]["holderIdentity"] == "two"
