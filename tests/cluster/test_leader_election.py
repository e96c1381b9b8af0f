"""The election against an API server's rules for Leases: compare-and-swap by resourceVersion."""

import copy
import threading
import time

import pytest

from ftl_operator.cluster.client import ConflictError
from ftl_operator.cluster.leader_election import (
    LEASE_SECONDS,
    POLL_SECONDS,
    RENEW_DEADLINE_SECONDS,
    LeaderElection,
)
from ftl_operator.cluster.write_gate import NotLeaderError, WriteGate
from ftl_operator.errors import ClusterError


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
    return [LeaderElection(leases, "ftl", "ftl-operator", name, clock) for name in ("one", "two")]


def test_the_first_leads_and_the_second_waits(pair, leases):
    one, two = pair
    one.try_acquire_or_renew()
    two.try_acquire_or_renew()
    assert (one.is_leader(), two.is_leader()) == (True, False)
    assert leases.lease["spec"]["holderIdentity"] == "one"


def test_a_renewing_leader_is_never_replaced(pair, clock):
    one, two = pair
    for _ in range(30):
        one.try_acquire_or_renew()
        two.try_acquire_or_renew()
        assert (one.is_leader(), two.is_leader()) == (True, False)
        clock.now += 3


def test_a_dead_leader_is_replaced_in_under_twenty_seconds(pair, clock):
    one, two = pair
    one.try_acquire_or_renew()
    two.try_acquire_or_renew()
    died = clock.now
    while not two.is_leader():
        clock.now += POLL_SECONDS
        two.try_acquire_or_renew()
    assert clock.now - died < 20


def test_two_never_lead_at_once_even_if_the_first_comes_back_late(pair, leases, clock):
    one, two = pair
    one.try_acquire_or_renew()
    two.try_acquire_or_renew()
    for _ in range(12):
        clock.now += 2
        two.try_acquire_or_renew()
        assert not (one.is_leader() and two.is_leader())
    assert two.is_leader()
    one.try_acquire_or_renew()
    assert not one.is_leader()
    assert leases.lease["spec"]["leaseTransitions"] == 1


def test_a_leader_that_cannot_renew_stops_before_another_may_start(pair, leases, clock):
    one, two = pair
    one.try_acquire_or_renew()
    two.try_acquire_or_renew()
    leases.down = True
    clock.now += RENEW_DEADLINE_SECONDS
    one.try_acquire_or_renew()
    assert not one.is_leader()
    assert RENEW_DEADLINE_SECONDS < LEASE_SECONDS
    leases.down = False
    one.try_acquire_or_renew()
    assert one.is_leader()


def test_a_lost_race_is_a_lost_election(pair, leases):
    one, two = pair
    read = leases.read_lease

    def race(*arguments):
        found = read(*arguments)
        leases.read_lease = read
        two.try_acquire_or_renew()
        return found

    leases.read_lease = race
    one.try_acquire_or_renew()
    assert (one.is_leader(), two.is_leader()) == (False, True)


def test_a_leader_that_resigns_is_replaced_at_once(pair):
    one, two = pair
    one.try_acquire_or_renew()
    two.try_acquire_or_renew()
    one.release()
    assert not one.is_leader()
    two.try_acquire_or_renew()
    assert two.is_leader()


def test_a_leader_that_ends_hands_over_in_a_second_and_only_when_it_has_ended(leases):
    """Two replicas in real time: the first is told to end while a write of its own is under way."""
    one, two = (LeaderElection(leases, "ftl", "ftl-operator", name) for name in ("one", "two"))
    write_gate, leads, lost, stops = (
        WriteGate(one.is_leader),
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )
    writes, told, early = threading.Event(), threading.Event(), []

    def write():
        with write_gate.write():
            writes.set()
            told.wait(10)
            # It ends later than the signal; nobody else may lead before.
            early.append(two_leads.wait(0.3))

    two_leads, second_stops = threading.Event(), threading.Event()
    first = threading.Thread(
        target=one.run,
        args=(stops, lambda led: (leads if led else lost).set(), lambda: write_gate.close(4)),
    )
    second = threading.Thread(target=two.run, args=(second_stops, lambda led: led and two_leads.set()))
    writer = threading.Thread(target=write)
    first.start()
    assert leads.wait(5)
    second.start()
    writer.start()
    assert writes.wait(5)
    start = time.monotonic()
    stops.set()
    told.set()
    assert two_leads.wait(5)
    took = time.monotonic() - start
    second_stops.set()
    for thread in (first, second, writer):
        thread.join(5)
    assert lost.is_set()
    assert early == [False]
    assert took < 0.3 + POLL_SECONDS + 1
    with pytest.raises(NotLeaderError), write_gate.write():
        raise AssertionError("it passes a closed fence")


def test_a_leader_that_has_not_ended_leaves_the_lease_to_run_out(leases):
    one = LeaderElection(leases, "ftl", "ftl-operator", "one")
    stops = threading.Event()
    stops.set()
    one.run(stops, lambda _led: None, lambda: False)
    assert leases.lease["spec"]["holderIdentity"] == "one"


def test_resigning_takes_nothing_from_another(pair, leases, clock):
    one, two = pair
    one.try_acquire_or_renew()
    two.try_acquire_or_renew()
    clock.now += LEASE_SECONDS + 1
    two.try_acquire_or_renew()
    assert two.is_leader()
    one.release()
    assert leases.lease["spec"]["holderIdentity"] == "two"
