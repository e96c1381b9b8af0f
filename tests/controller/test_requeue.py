"""When an app is reconciled again, for every way in which a reconcile can end."""

import pytest

from ftl_operator.controller.requeue import Requeue, requeue_after
from ftl_operator.errors import RegistryError, SpecError, WaitingError

DEFAULTS = {
    "waiting": None,
    "error": None,
    "is_verified": True,
    "deadline_seconds": None,
    "rolling_seconds": None,
    "interval_seconds": 600.0,
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Requeue("done", 600.0)),
        ({"waiting": WaitingError("busy", 2.0)}, Requeue("waiting", 2.0)),
        ({"waiting": WaitingError("an inspection runs")}, Requeue("waiting", 30.0)),
        ({"waiting": WaitingError("busy", 20.0), "deadline_seconds": 5.0}, Requeue("waiting", 5.0)),
        ({"error": RegistryError("no answer")}, Requeue("retry", backoff=True)),
        (
            {"error": RegistryError("busy", retry_after=40.0), "deadline_seconds": 9.0},
            Requeue("retry", 9.0, backoff=True, at_least=40.0),
        ),
        ({"is_verified": False}, Requeue("retry", backoff=True)),
        ({"error": SpecError("a mistake")}, Requeue("stalled", 600.0)),
        ({"error": SpecError("a mistake"), "is_verified": False}, Requeue("retry", backoff=True)),
        ({"rolling_seconds": 0.0}, Requeue("done", 3.0)),
        ({"rolling_seconds": 90.0}, Requeue("done", 30.0)),
        ({"rolling_seconds": 9000.0}, Requeue("done", 60.0)),
        ({"rolling_seconds": 90.0, "deadline_seconds": 0.0}, Requeue("done", 0.0)),
        ({"rolling_seconds": 90.0, "interval_seconds": 10.0}, Requeue("done", 10.0)),
    ],
)
def test_the_next_reconcile(given, expected):
    assert requeue_after(**{**DEFAULTS, **given}) == expected


@pytest.mark.parametrize(
    ("result", "succeeded"),
    [("waiting", False), ("retry", False), ("stalled", True), ("done", True), ("unchanged", True)],
)
def test_only_a_reconcile_that_came_to_its_end_starts_the_backoff_anew(result, succeeded):
    assert Requeue(result).succeeded is succeeded
