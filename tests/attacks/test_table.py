"""The tables' own checks can fail: a check that accepts everything would hide a successful attack."""

import pytest

from tests.attacks.table import Attack, check_refused, check_twin


def _positive(number: int) -> int:
    if number < 0:
        raise ValueError("below zero")
    return number


def test_a_refusal_for_the_right_reason_counts() -> None:
    check_refused(Attack("a", _positive, -1, "below zero", 1))


def test_a_refusal_for_another_reason_does_not_count() -> None:
    with pytest.raises(AssertionError, match="not refused as expected"):
        check_refused(Attack("a", _positive, -1, "too large", 1))


def test_an_attack_that_gets_through_is_found() -> None:
    with pytest.raises(AssertionError, match="got through"):
        check_refused(Attack("a", _positive, 1, "below zero", 1))
    with pytest.raises(AssertionError, match="got through"):
        check_refused(Attack("a", _positive, 1, lambda value: value == 0, 1))


def test_a_twin_that_is_refused_is_found() -> None:
    with pytest.raises(ValueError, match="below zero"):
        check_twin(Attack("a", _positive, -1, "below zero", -2))
    with pytest.raises(AssertionError, match="legitimate twin"):
        check_twin(Attack("a", _positive, -1, "below zero", 1, lambda value: value == 2))
