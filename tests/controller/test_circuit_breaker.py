import threading
import time
from contextlib import ExitStack

import pytest

from ftl_operator.api.names import NamespacedName
from ftl_operator.controller.circuit_breaker import FIRST_PAUSE, LONGEST_PAUSE, CircuitBreakers
from ftl_operator.controller.workqueue import WorkQueue
from ftl_operator.errors import ComponentError, Reason, RegistryError, WaitingError
from ftl_operator.registry.http import TransientError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fail(breakers, registry="dead.dev", kind=TransientError, **how):
    with pytest.raises(RegistryError) as caught, breakers.enter("ns", registry):
        raise kind("dead.dev/secret-name: no answer", **how)
    return caught.value


def test_without_room_one_is_asked_to_come_back_and_other_registries_have_room():
    breakers = CircuitBreakers(4)
    with breakers.enter("ns", "a.dev"):
        pass
    with breakers.enter("ns", "a.dev"), breakers.enter("ns", "a.dev"):
        with pytest.raises(WaitingError) as caught, breakers.enter("ns", "a.dev"):
            pass
        assert caught.value.seconds
        with breakers.enter("ns", "b.dev"):
            pass
    with breakers.enter("ns", "a.dev"):
        pass


def test_a_dead_registry_costs_one_timeout(clock):
    breakers = CircuitBreakers(4, clock)
    fail(breakers)
    with (
        pytest.raises(RegistryError, match=r"dead\.dev does not answer") as caught,
        breakers.enter("ns", "dead.dev"),
    ):
        pytest.fail("the breaker is open")
    assert caught.value.retry_after == FIRST_PAUSE
    assert "secret-name" not in str(caught.value)
    with breakers.enter("ns", "alive.dev"):
        pass


def test_after_a_pause_one_goes_first_and_the_pauses_grow(clock):
    breakers = CircuitBreakers(4, clock)
    fail(breakers)
    clock.now += FIRST_PAUSE
    with breakers.enter("ns", "dead.dev"):
        # Others are told that it failed, and not that it is busy.
        with (
            pytest.raises(RegistryError, match="does not answer") as caught,
            breakers.enter("ns", "dead.dev"),
        ):
            pytest.fail("a second trial request")
        assert caught.value.retry_after
    with breakers.enter("ns", "dead.dev"), breakers.enter("ns", "dead.dev"):
        pass
    fail(breakers)
    clock.now += FIRST_PAUSE
    fail(breakers)
    clock.now += FIRST_PAUSE
    with pytest.raises(RegistryError), breakers.enter("ns", "dead.dev"):
        pytest.fail("the second pause is longer")


def test_whoever_has_not_answered_yet_gets_one_visitor_and_the_longer_it_takes_the_fewer_looks(clock):
    breakers = CircuitBreakers(4, clock)
    with breakers.enter("ns", "new.dev"):
        clock.now += 20
        for _ in range(20):
            with pytest.raises(WaitingError) as caught, breakers.enter("ns", "new.dev"):
                pytest.fail("a second one is inside")
            assert 10 <= caught.value.seconds <= 30
    with breakers.enter("ns", "new.dev"), breakers.enter("ns", "new.dev"):
        pass


def test_all_that_do_not_answer_have_their_room_together():
    breakers = CircuitBreakers(4)
    with breakers.enter("good", "alive.dev"):
        pass
    with ExitStack() as inside:
        for number, tenant in enumerate("aabc"):
            inside.enter_context(breakers.enter(tenant, f"silent-{number}.dev"))
        with pytest.raises(WaitingError), breakers.enter("d", "new.dev"):
            pytest.fail("it is one more that may be silent")
        for _ in range(2):
            inside.enter_context(breakers.enter("good", "alive.dev"))


def test_a_tenant_leaves_room_for_the_new_registries_of_another():
    breakers = CircuitBreakers(4)
    with ExitStack() as inside:
        for number in range(2):
            inside.enter_context(breakers.enter("hostile", f"silent-{number}.dev"))
        with pytest.raises(WaitingError), breakers.enter("hostile", "silent-2.dev"):
            pytest.fail("its share is used up")
        with breakers.enter("good", "new.dev"):
            pass


def test_one_host_with_paths_of_two_tenants_serves_the_one_while_the_other_hangs(clock):
    breakers = CircuitBreakers(4, clock)
    for tenant in ("hostile", "good"):
        with breakers.enter(tenant, "shared.dev"):
            pass
    with breakers.enter("hostile", "shared.dev"), breakers.enter("hostile", "shared.dev"):
        clock.now += 100
        with pytest.raises(WaitingError), breakers.enter("hostile", "shared.dev"):
            pytest.fail("its share of the connections is used up")
        with breakers.enter("good", "shared.dev"):
            pass


def test_one_tenants_failures_at_a_host_open_no_other_tenants_breaker(clock):
    breakers = CircuitBreakers(4, clock)
    fail(breakers, "shared.dev")
    with pytest.raises(RegistryError), breakers.enter("ns", "shared.dev"):
        pytest.fail("the breaker is open")
    with breakers.enter("good", "shared.dev"):
        pass


def test_those_that_failed_leave_room_for_those_that_nobody_has_tried(clock):
    breakers = CircuitBreakers(4, clock)
    for number in range(6):
        fail(breakers, f"dead-{number}.dev")
    clock.now += FIRST_PAUSE
    with breakers.enter("ns", "dead-0.dev"):
        with pytest.raises(RegistryError, match="does not answer"), breakers.enter("ns", "dead-1.dev"):
            pytest.fail("the rest is for others")
        with breakers.enter("ns", "new.dev"):
            pass


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("ftl_operator.controller.circuit_breaker.MAX_BREAKERS", 10)
    breakers = CircuitBreakers(4)
    for number in range(100):
        fail(breakers, f"name-{number}.dev")
    assert len(breakers) <= 12


def test_many_broken_apps_of_many_dead_registries_do_not_delay_one_that_works():
    """As many workers as the operator has, and many more looks that would hang as long as the test runs."""
    queue, breakers, hang, hung = WorkQueue(), CircuitBreakers(4), threading.Event(), []
    with breakers.enter("good", "alive.dev"):
        pass
    looked = threading.Event()

    def look(key):
        registry = "alive.dev" if key.name == "works" else f"dead-{int(key.name) % 10}.dev"
        with breakers.enter(key.namespace, registry):
            if key.name == "works":
                looked.set()
                return
            hung.append(key)
            hang.wait(30)

    def work():
        while (key := queue.take()) is not None:
            try:
                look(key)
            except WaitingError as waiting:
                queue.add(key, waiting.seconds)
            finally:
                queue.release(key)

    workers = [threading.Thread(target=work) for _ in range(8)]
    try:
        for number in range(200):
            queue.add(NamespacedName("hostile", str(number)))
        for worker in workers:
            worker.start()
        deadline = time.monotonic() + 10
        while len(hung) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(10):
            looked.clear()
            queue.add(NamespacedName("good", "works"))
            assert looked.wait(10)
        assert len(hung) == 2
    finally:
        hang.set()
        queue.close()
        for worker in workers:
            worker.join(10)


def test_a_registry_may_ask_for_a_longer_pause(clock):
    breakers = CircuitBreakers(4, clock)
    fail(breakers, retry_after=40)
    clock.now += 39
    with pytest.raises(RegistryError), breakers.enter("ns", "dead.dev"):
        pass


def test_a_registry_that_is_dead_for_days_is_still_asked_seldom(clock):
    breakers = CircuitBreakers(4, clock)
    for _ in range(1100):
        fail(breakers)
        clock.now += LONGEST_PAUSE
    fail(breakers)
    clock.now += LONGEST_PAUSE - 1
    with pytest.raises(RegistryError), breakers.enter("ns", "dead.dev"):
        pytest.fail("the breaker is open")


def test_a_refusal_is_an_answer(clock):
    breakers = CircuitBreakers(4, clock)
    fail(breakers, kind=RegistryError, reason=Reason.REGISTRY_UNAUTHORIZED)
    fail(breakers, kind=RegistryError)
    with breakers.enter("ns", "dead.dev"):
        pass
    with pytest.raises(ComponentError), breakers.enter("ns", "dead.dev"):
        raise ComponentError("bad bytes")
    with breakers.enter("ns", "dead.dev"):
        pass
