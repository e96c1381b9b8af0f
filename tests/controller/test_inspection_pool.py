import threading

import pytest

from ftl_operator.api.names import NamespacedName
from ftl_operator.component.binary import Binary, Kind
from ftl_operator.component.tool import Component
from ftl_operator.controller.inspection_pool import InspectionPool
from ftl_operator.errors import ComponentError, WaitingError
from ftl_operator.oci.descriptor import Descriptor

A, B = NamespacedName("ns", "a"), NamespacedName("ns", "b")
LAYER = Descriptor("application/wasm", "sha256:" + "1" * 64, 2_000_000)
COMPONENT = Component(LAYER.digest, LAYER.size, Binary(Kind.WASI_0_2, (), ()), ())


@pytest.fixture
def woken():
    return []


@pytest.fixture
def inspections(woken, monkeypatch):
    monkeypatch.setattr("ftl_operator.controller.inspection_pool.PATIENCE", 0.05)
    found = InspectionPool(woken.append)
    yield found
    found.close()


def until(condition):
    done = threading.Event()
    for _ in range(500):
        if condition():
            return
        done.wait(0.01)
    pytest.fail("it did not happen in 5 s")


def test_a_quick_one_is_there_at_once(inspections):
    assert inspections.inspect(LAYER, "weather", A, lambda: COMPONENT) == COMPONENT


def test_a_slow_one_runs_once_and_wakes_all_who_wait(inspections, woken):
    go, runs = threading.Event(), []

    def run():
        runs.append(1)
        go.wait(5)
        return COMPONENT

    for key in (A, B, A):
        with pytest.raises(WaitingError, match=r"weather is being inspected \(2.0 MB\)"):
            inspections.inspect(LAYER, "weather", key, run)
    go.set()
    until(lambda: set(woken) == {A, B})
    assert runs == [1]


def test_a_failure_reaches_everyone_who_waited(inspections, woken):
    go = threading.Event()

    def run():
        go.wait(5)
        raise ComponentError("it traps")

    with pytest.raises(WaitingError):
        inspections.inspect(LAYER, "weather", A, run)
    go.set()
    until(lambda: woken == [A])
    with pytest.raises(ComponentError, match="it traps"):
        inspections.inspect(LAYER, "weather", A, lambda: COMPONENT)


def test_who_finds_a_gate_full_in_the_background_comes_back(inspections):
    def run():
        raise WaitingError("r.dev is busy", 1)

    with pytest.raises(WaitingError, match="busy"):
        inspections.inspect(LAYER, "weather", A, run)
    until(lambda: not inspections._running)
    assert inspections.inspect(LAYER, "weather", A, lambda: COMPONENT) == COMPONENT
