import pytest

from ftl_operator.errors import ComponentError, Reason, RegistryError
from ftl_operator.gates import FIRST_PAUSE, Gates, WaitingError
from ftl_operator.transport import TransientError


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
    gates = Gates(2)
    with gates.enter("a.dev"), gates.enter("a.dev"):
        with pytest.raises(WaitingError) as caught, gates.enter("a.dev"):
            pass
        assert caught.value.seconds
        with gates.enter("b.dev"):
            pass
    with gates.enter("a.dev"):
        pass


def test_a_dead_registry_costs_one_timeout(clock):
    gates = Gates(4, clock)
    fail(gates)
    with pytest.raises(RegistryError, match=r"dead\.dev does not answer") as caught, gates.enter("dead.dev"):
        pytest.fail("the gate is shut")
    assert caught.value.retry_after == FIRST_PAUSE
    assert "secret-name" not in str(caught.value)
    with gates.enter("alive.dev"):
        pass


def test_after_a_pause_one_goes_first_and_the_pauses_grow(clock):
    gates = Gates(4, clock)
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


def test_a_registry_may_ask_for_a_longer_pause(clock):
    gates = Gates(4, clock)
    fail(gates, retry_after=40)
    clock.now += 39
    with pytest.raises(RegistryError), gates.enter("dead.dev"):
        pass


def test_a_refusal_is_an_answer(clock):
    gates = Gates(4, clock)
    fail(gates, kind=RegistryError, reason=Reason.REGISTRY_UNAUTHORIZED)
    fail(gates, kind=RegistryError)
    with gates.enter("dead.dev"):
        pass
    with pytest.raises(ComponentError), gates.enter("dead.dev"):
        raise ComponentError("bad bytes")
    with gates.enter("dead.dev"):
        pass
