import threading
import time
from contextlib import ExitStack

import pytest

from ftl_operator.api.names import NamespacedName
from ftl_operator.controller.circuit_breaker import FIRST_PAUSE, CircuitBreakers
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


def fail(gates, registry="dead.dev", kind=TransientError, **how):
    with pytest.raises(RegistryError) as caught, gates.enter(registry):
        raise kind("dead.dev/secret-name: no answer", **how)
    return caught.value


def test_a_full_gate_asks_to_come_back_and_others_are_open():
    gates = CircuitBreakers(2)
    with gates.enter("a.dev"):
        pass
    with gates.enter("a.dev"), gates.enter("a.dev"):
        with pytest.raises(WaitingError) as caught, gates.enter("a.dev"):
            pass
        assert caught.value.seconds
        with gates.enter("b.dev"):
            pass
    with gates.enter("a.dev"):
        pass


def test_a_dead_registry_costs_one_timeout(clock):
    gates = CircuitBreakers(4, clock)
    fail(gates)
    with pytest.raises(RegistryError, match=r"dead\.dev does not answer") as caught, gates.enter("dead.dev"):
        pytest.fail("the gate is shut")
    assert caught.value.retry_after == FIRST_PAUSE
    assert "secret-name" not in str(caught.value)
    with gates.enter("alive.dev"):
        pass


def test_after_a_pause_one_goes_first_and_the_pauses_grow(clock):
    gates = CircuitBreakers(4, clock)
    fail(gates)
    clock.now += FIRST_PAUSE
    with gates.enter("dead.dev"), pytest.raises(WaitingError), gates.enter("dead.dev"):
        pass
    with gates.enter("dead.dev"), gates.enter("dead.dev"):
        pass
    fail(gates)
    clock.now += FIRST_PAUSE
    fail(gates)
    clock.now += FIRST_PAUSE
    with pytest.raises(RegistryError), gates.enter("dead.dev"):
        pytest.fail("the second pause is longer")


def test_whoever_has_not_answered_yet_gets_one_visitor_and_the_longer_it_takes_the_fewer_looks(clock):
    gates = CircuitBreakers(4, clock)
    with gates.enter("new.dev"):
        clock.now += 20
        for _ in range(20):
            with pytest.raises(WaitingError) as caught, gates.enter("new.dev"):
                pytest.fail("a second one is inside")
            assert 10 <= caught.value.seconds <= 30
    with gates.enter("new.dev"), gates.enter("new.dev"):
        pass


def test_all_that_do_not_answer_have_half_of_the_room_together():
    gates = CircuitBreakers(4)
    with gates.enter("alive.dev"):
        pass
    with ExitStack() as inside:
        for number in range(4):
            inside.enter_context(gates.enter(f"silent-{number}.dev"))
        with pytest.raises(WaitingError), gates.enter("new.dev"):
            pytest.fail("it is one more that may be silent")
        for _ in range(4):
            inside.enter_context(gates.enter("alive.dev"))


def test_those_that_failed_leave_room_for_those_that_nobody_has_tried(clock):
    gates = CircuitBreakers(4, clock)
    for number in range(6):
        fail(gates, f"dead-{number}.dev")
    clock.now += FIRST_PAUSE
    with gates.enter("dead-0.dev"), gates.enter("dead-1.dev"):
        with pytest.raises(WaitingError), gates.enter("dead-2.dev"):
            pytest.fail("the rest is for others")
        with gates.enter("new.dev"):
            pass


def test_many_broken_apps_of_many_dead_registries_do_not_delay_one_that_works():
    """As many workers as the operator has, and many more looks that would hang as long as the test runs."""
    queue, gates, hang, hung = WorkQueue(), CircuitBreakers(4), threading.Event(), []
    with gates.enter("alive.dev"):
        pass
    looked = threading.Event()

    def look(key):
        registry = "alive.dev" if key.name == "works" else f"dead-{int(key.name) % 10}.dev"
        with gates.enter(registry):
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
            queue.add(NamespacedName("ns", str(number)))
        for worker in workers:
            worker.start()
        deadline = time.monotonic() + 10
        while len(hung) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        slowest = 0.0
        for _ in range(10):
            looked.clear()
            asked = time.monotonic()
            queue.add(NamespacedName("ns", "works"))
            assert looked.wait(10)
            slowest = max(slowest, time.monotonic() - asked)
        assert len(hung) == 4
    finally:
        hang.set()
        queue.close()
        for worker in workers:
            worker.join(10)
    # The first visitors of ten registries are waited for once, a quarter of a second each.
    assert slowest < 2


def test_a_registry_may_ask_for_a_longer_pause(clock):
    gates = CircuitBreakers(4, clock)
    fail(gates, retry_after=40)
    clock.now += 39
    with pytest.raises(RegistryError), gates.enter("dead.dev"):
        pass


def test_a_refusal_is_an_answer(clock):
    gates = CircuitBreakers(4, clock)
    fail(gates, kind=RegistryError, reason=Reason.REGISTRY_UNAUTHORIZED)
    fail(gates, kind=RegistryError)
    with gates.enter("dead.dev"):
        pass
    with pytest.raises(ComponentError), gates.enter("dead.dev"):
        raise ComponentError("bad bytes")
    with gates.enter("dead.dev"):
        pass
