import threading

import pytest

from ftl_operator.api.names import NamespacedName
from ftl_operator.controller.inspection_pool import (
    DONE_SECONDS,
    FAILED_SECONDS,
    PASSING_SECONDS,
    InspectionPool,
    Job,
)
from ftl_operator.errors import ComponentError, RegistryError, WaitingError

A, B = NamespacedName("ns", "a"), NamespacedName("ns", "b")
COMPONENT = object()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def woken():
    return []


@pytest.fixture
def pool(woken, clock, monkeypatch):
    monkeypatch.setattr("ftl_operator.controller.inspection_pool.PATIENCE", 0.05)
    found = InspectionPool(lambda key, seconds: woken.append((key, seconds)), 2, clock)
    yield found
    found.close()


def ask(pool, key, run, subject="weather", fetch=None):
    return pool.run(Job(key, subject, f"{subject} is being inspected", run, fetch))


def soon(pool, key, run, subject="weather", fetch=None):
    """The result of a job, however long a busy machine takes for it."""
    for _ in range(200):
        try:
            return ask(pool, key, run, subject, fetch)
        except WaitingError:
            continue
    pytest.fail("there was no result in 10 s")


def until(condition):
    done = threading.Event()
    for _ in range(500):
        if condition():
            return
        done.wait(0.01)
    pytest.fail("it did not happen in 5 s")


def test_a_quick_one_is_there_at_once_and_what_it_fetches_comes_first(pool):
    steps = []
    assert (
        soon(pool, A, lambda: steps.append("run") or COMPONENT, fetch=lambda: steps.append("fetch"))
        is COMPONENT
    )
    assert steps == ["fetch", "run"]


def test_a_slow_one_runs_once_and_wakes_all_who_wait(pool, woken):
    go, runs = threading.Event(), []

    def run():
        runs.append(1)
        go.wait(30)
        return COMPONENT

    for key in (A, B, A):
        with pytest.raises(WaitingError, match="weather is being inspected"):
            ask(pool, key, run)
    go.set()
    until(lambda: set(woken) == {(A, 0.0), (B, 0.0)})
    assert ask(pool, A, run) is COMPONENT
    assert runs == [1]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(ComponentError("it traps"), FAILED_SECONDS), (RegistryError("503"), PASSING_SECONDS)],
)
def test_a_failure_is_remembered_for_as_long_as_another_try_would_repeat_it(pool, clock, error, seconds):
    runs = []

    def run():
        runs.append(1)
        raise error

    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            soon(pool, A, run)
        caught.value.field = "spec.tools[1].image"
    assert error.field == ""
    clock.now += seconds - 1
    with pytest.raises(type(error)):
        soon(pool, B, run)
    assert runs == [1]
    clock.now += 1
    with pytest.raises(type(error)):
        soon(pool, A, run)
    assert runs == [1, 1]


def test_a_failure_is_remembered_for_its_own_tenant(pool):
    def run():
        raise ComponentError("a name of another tenant")

    with pytest.raises(ComponentError):
        soon(pool, A, run)
    assert soon(pool, NamespacedName("other", "a"), lambda: COMPONENT) is COMPONENT


def test_a_success_is_kept_for_who_waits(pool, clock):
    assert soon(pool, A, lambda: 1) == 1
    assert soon(pool, B, lambda: 2) == 1
    clock.now += DONE_SECONDS
    assert soon(pool, B, lambda: 2) == 2


def test_who_finds_no_room_at_a_registry_comes_back(pool, woken):
    gate = threading.Event()

    def fetch():
        gate.wait(30)
        raise WaitingError("r.dev is busy", 7)

    with pytest.raises(WaitingError, match="is being inspected"):
        ask(pool, A, lambda: COMPONENT, fetch=fetch)
    gate.set()
    until(lambda: woken == [(A, 7)])
    assert soon(pool, A, lambda: COMPONENT) is COMPONENT


def test_bombs_of_a_tenant_leave_a_slot_to_another(pool):
    go, running, most = threading.Event(), [], []

    def bomb():
        running.append(1)
        most.append(len(running))
        go.wait(30)
        running.pop()

    try:
        for number in range(20):
            with pytest.raises(WaitingError):
                ask(pool, A, bomb, subject=number)
        assert soon(pool, NamespacedName("good", "a"), lambda: COMPONENT) is COMPONENT
        assert max(most) == 1
    finally:
        go.set()


def test_registries_that_drip_leave_fetchers_to_another(pool):
    go = threading.Event()
    try:
        for number in range(20):
            with pytest.raises(WaitingError):
                ask(pool, A, lambda: COMPONENT, subject=number, fetch=lambda: go.wait(30))
        good = NamespacedName("good", "a")
        assert soon(pool, good, lambda: COMPONENT, fetch=lambda: None) is COMPONENT
    finally:
        go.set()


def test_with_one_slot_another_tenant_waits_for_one_job_only(woken, monkeypatch):
    monkeypatch.setattr("ftl_operator.controller.inspection_pool.PATIENCE", 0.05)
    pool = InspectionPool(lambda key, seconds: None, 1)
    done, steps = [], [threading.Event() for _ in range(10)]

    def bomb(number):
        steps[number].wait(30)
        done.append(number)

    try:
        for number in range(10):
            with pytest.raises(WaitingError):
                ask(pool, A, lambda n=number: bomb(n), subject=number)
        with pytest.raises(WaitingError):
            ask(pool, NamespacedName("good", "a"), lambda: done.append("good"))
        steps[0].set()
        until(lambda: "good" in done)
        assert done == [0, "good"]
    finally:
        for step in steps:
            step.set()
        pool.close()


def test_what_a_tenant_lets_wait_is_bounded(pool, monkeypatch):
    monkeypatch.setattr("ftl_operator.controller.inspection_pool.MAX_WAITING", 5)
    go = threading.Event()
    try:
        for number in range(30):
            with pytest.raises(WaitingError):
                ask(pool, A, lambda: go.wait(30), subject=number)
        assert len(pool._active) <= 6
    finally:
        go.set()
