"""The fence: nothing begins once it is closed or the Lease is lost; closing it waits for what has begun."""

import threading

import pytest

from ftl_operator.cluster.write_gate import NotLeaderError, WriteGate


def test_it_is_open_while_this_replica_leads():
    leads = [True]
    fence = WriteGate(lambda: leads[0])
    with fence.passage():
        pass
    leads[0] = False
    assert not fence.is_open()
    with pytest.raises(NotLeaderError), fence.passage():
        raise AssertionError("it passes without the Lease")


def test_closing_waits_for_what_is_under_way():
    fence = WriteGate()
    inside, go_on = threading.Event(), threading.Event()
    ended = []

    def act():
        with fence.passage():
            inside.set()
            go_on.wait(10)
            ended.append(True)

    thread = threading.Thread(target=act)
    thread.start()
    assert inside.wait(5)
    assert not fence.close(0.05)
    assert not ended
    go_on.set()
    assert fence.close(5)
    assert ended
    thread.join(5)


def test_several_writes_are_one_action():
    leads = [True]
    fence = WriteGate(lambda: leads[0])
    with fence.passage():
        assert not fence.close(0)
        with fence.passage():
            pass
        leads[0] = False
        with pytest.raises(NotLeaderError), fence.passage():
            raise AssertionError("it passes without the Lease")
        assert not fence.close(0)
    assert fence.close(0)


def test_what_fails_is_out_too():
    fence = WriteGate()
    with pytest.raises(ZeroDivisionError), fence.passage():
        raise ZeroDivisionError
    assert fence.close(0)
    with pytest.raises(NotLeaderError), fence.passage():
        raise AssertionError("it passes a closed fence")
