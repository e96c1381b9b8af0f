import pytest

from ftl_operator.errors import IssuerError
from ftl_operator.ttl_cache import TtlCache


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_values_and_failures_are_kept_for_their_time():
    clock = Clock()
    cache = TtlCache(clock)
    cache.put("ns", "a", 1, 10)
    cache.fail("ns", "b", IssuerError("down"), 10, 60)
    assert cache.get("a").result() == 1
    with pytest.raises(IssuerError, match="down"):
        cache.get("b").result()
    clock.now += 10
    assert cache.get("a") is None
    assert cache.get("b") is None


def test_pauses_double_up_to_a_limit_and_start_anew_after_a_success():
    clock = Clock()
    cache = TtlCache(clock)
    for seconds in (10, 20, 40, 60, 60):
        cache.fail("ns", "a", IssuerError("down"), 10, 60)
        clock.now += seconds - 1
        assert cache.get("a") is not None
        clock.now += 1
        assert cache.get("a") is None
    cache.put("ns", "a", 1, 10)
    cache.fail("ns", "a", IssuerError("down"), 10, 60)
    clock.now += 10
    assert cache.get("a") is None


def test_a_tenant_that_fills_the_cache_loses_its_own_entries():
    cache = TtlCache(max_entries=10)
    cache.put("good", "g", 1, 300)
    for number in range(100):
        cache.fail("hostile", number, IssuerError("down"), 300, 300)
    assert len(cache) == 10
    assert cache.get("g").result() == 1
    assert cache.get(99) is not None
    assert cache.get(0) is None
