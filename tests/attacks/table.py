"""The form of every attack table: an input that must be refused, beside a legitimate twin that must pass."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Attack:
    """One row.

    Args:
        name: The finding and the variation, as `H1 path with userinfo`.
        attack: Runs the attack with the given input.
        input: What the attacker controls.
        refusal: A pattern for the text of the exception, or a predicate for the value, by which the attack is
            refused.
        twin: The legitimate input of the same form; `attack` runs it too, and it must pass.
        passes: Whether the twin's value is right; any value is by default.
    """

    name: str
    attack: Callable[[Any], Any]
    input: Any
    refusal: str | Callable[[Any], bool]
    twin: Any
    passes: Callable[[Any], bool] = lambda _: True


def check_refused(row: Attack) -> None:
    """Run the attack. Raises AssertionError unless it is refused as the row says."""
    try:
        value = row.attack(row.input)
    except Exception as error:
        refused = isinstance(row.refusal, str) and re.search(row.refusal, str(error)) is not None
        if not refused:
            raise AssertionError(f"{row.name}: not refused as expected, but by {error!r}") from error
    else:
        got_through = isinstance(row.refusal, str) or not row.refusal(value)
        assert not got_through, f"{row.name}: got through with {value!r}"


def check_twin(row: Attack) -> None:
    """Run the legitimate twin. Raises AssertionError unless it passes."""
    value = row.attack(row.twin)
    assert row.passes(value), f"{row.name}: the legitimate twin gives {value!r}"
