"""The gate: no write begins once it is closed or the Lease is lost; closing waits for running writes."""

import threading

import pytest

from ftl_operator.cluster.write_gate import NotLeaderError, WriteGate


def test_it_is_open_while_this_replica_leads():
    leads = [True]
    write_gate = WriteGate(lambda: leads[0])
    with write_gate.write():
        pass
    leads[0] = False
    assert not write_gate.is_open()
    with pytest.raises(NotLeaderError), write_gate.write():
        raise AssertionError("it passes without the Lease")


def test_closing_waits_for_what_is_under_way():
    write_gate = WriteGate()
    inside, go_on = threading.Event(), threading.Event()
    ended = []

    def act():
        with write_gate.write():
            inside.set()
            go_on.wait(10)
            ended.append(True)

    thread = threading.Thread(target=act)
    thread.start()
    assert inside.wait(5)
    assert not write_gate.close(0.05)
    assert not ended
    go_on.set()
    assert write_gate.close(5)
    assert ended
    thread.join(5)


def test_several_writes_are_one_action():
    leads = [True]
    write_gate = WriteGate(lambda: leads[0])
    with write_gate.write():
        assert not write_gate.close(0)
        with write_gate.write():
            pass
        leads[0] = False
        with pytest.raises(NotLeaderError), write_gate.write():
            raise AssertionError("it passes without the Lease")
        assert not write_gate.close(0)
    assert write_gate.close(0)


def test_what_fails_is_out_too():
    write_gate = WriteGate()
    with pytest.raises(ZeroDivisionError), write_gate.write():
        raise ZeroDivisionError
    assert write_gate.close(0)
    with pytest.raises(NotLeaderError), write_gate.write():
        raise AssertionError("it passes a closed fence")
