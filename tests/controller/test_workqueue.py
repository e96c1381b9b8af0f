import threading

from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.api.names import NamespacedName
from ftl_operator.controller.workqueue import LONGEST_DELAY, WorkQueue

A, B = NamespacedName("ns", "a"), NamespacedName("ns", "b")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def queue():
    clock = Clock()
    return WorkQueue(clock, jitter=lambda: 1.0), clock


def test_a_burst_of_events_is_one_look():
    work, _ = queue()
    for _ in range(5):
        work.add(A)
    assert work.take(0) == A
    assert work.take(0) is None


def test_an_event_during_a_look_causes_one_more():
    work, _ = queue()
    work.add(A)
    assert work.take(0) == A
    work.add(A)
    work.add(A)
    assert work.take(0) is None
    work.release(A)
    assert work.take(0) == A
    work.release(A)
    assert work.take(0) is None


def test_others_are_taken_while_one_is_held():
    work, _ = queue()
    work.add(A)
    assert work.take(0) == A
    work.add(A)
    work.add(B)
    assert work.take(0) == B


def test_a_delayed_look_waits_and_an_earlier_request_wins():
    work, clock = queue()
    work.add(A, 10)
    assert work.take(0) is None
    work.add(A, 5)
    work.add(A, 20)
    clock.now = 5
    assert work.take(0) == A
    work.release(A)
    clock.now = 30
    assert work.take(0) is None


def test_delays_double_up_to_a_limit_and_start_anew_after_success():
    work, _ = queue()
    delays = [work.retry(A) for _ in range(12)]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == LONGEST_DELAY
    work.succeeded(A)
    assert work.retry(A) == 1


def test_a_server_may_ask_for_a_longer_wait():
    work, _ = queue()
    assert work.retry(A, at_least=40) == 40


def test_what_is_forgotten_is_not_taken():
    work, clock = queue()
    work.add(A)
    work.add(B, 3)
    work.forget(A)
    work.forget(B)
    clock.now = 10
    assert work.take(0) is None
    assert len(work) == 0


def test_closing_wakes_a_waiter():
    work = WorkQueue()
    taken = []
    waiter = threading.Thread(target=lambda: taken.append(work.take()))
    waiter.start()
    work.close()
    waiter.join(5)
    assert taken == [None]


def test_a_waiter_wakes_for_a_key_that_comes_later():
    work = WorkQueue()
    taken = []
    waiter = threading.Thread(target=lambda: taken.append(work.take(5)))
    waiter.start()
    work.add(A, 0.05)
    waiter.join(5)
    assert taken == [A]


def test_looks_of_one_namespace_leave_workers_to_another():
    work, clock = queue()
    for number in range(100):
        work.add(NamespacedName("hostile", str(number)))
    clock.now += 1
    held = [work.take(0) for _ in range(4)]
    assert None not in held
    assert work.take(0) is None, "one namespace holds half of the workers"
    work.add(NamespacedName("good", "a"))
    assert work.take(0) == NamespacedName("good", "a")
    work.release(held[0])
    assert work.take(0).namespace == "hostile"


def test_namespaces_that_were_slow_leave_half_of_the_workers_to_those_that_were_not():
    work, clock = queue()
    hostile = [NamespacedName(f"hostile-{number}", "a") for number in range(8)]
    for key in hostile:
        work.add(key)
    held = [work.take(0) for _ in hostile]
    assert set(held) == set(hostile)
    work.add(NamespacedName("good", "a"))
    assert work.take(0) is None, "nobody was slow before: all workers are held"
    clock.now += 15
    work.release(held[0])
    assert work.take(0) == NamespacedName("good", "a"), "the first one that comes back"
    for key in held:
        work.release(key)
        work.add(key)
    again = [work.take(0) for _ in range(4)]
    assert None not in again
    assert work.take(0) is None, "all that were slow hold half together"
    work.add(NamespacedName("good", "b"))
    assert work.take(0) == NamespacedName("good", "b")


def test_a_waiter_is_woken_by_a_slot_that_is_for_its_namespace():
    work, taken = WorkQueue(workers=2), []
    work.add(A)
    work.add(B)
    assert work.take(0) == A
    waiter = threading.Thread(target=lambda: taken.append(work.take(10)))
    waiter.start()
    work.release(A)
    waiter.join(10)
    assert taken == [B]


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "release"]), st.integers(0, 3)), max_size=60))
def test_nothing_asked_for_is_lost_and_nothing_is_held_twice(steps):
    work, _ = queue()
    keys = [NamespacedName("ns", str(index)) for index in range(4)]
    owed: set[NamespacedName] = set()
    held: set[NamespacedName] = set()
    for what, index in steps:
        key = keys[index]
        if what == "add":
            work.add(key)
            owed.add(key)
        elif what == "take":
            taken = work.take(0)
            assert (taken is None) == (not owed - held)
            if taken is not None:
                assert taken not in held
                held.add(taken)
                owed.discard(taken)
        elif key in held:
            work.release(key)
            held.discard(key)
    for key in list(held):
        work.release(key)
    while (taken := work.take(0)) is not None:
        owed.discard(taken)
    assert not owed
