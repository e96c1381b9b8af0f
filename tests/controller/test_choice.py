"""Which release runs: the planned one, the last good one, or none yet."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import NamespacedName
from ftl_operator.api.status import FtlAppStatus, HistoryEntry
from ftl_operator.cluster.cache import CachedApp, Snapshot
from ftl_operator.controller.choice import Choice, choose
from ftl_operator.controller.releaser import Planned, ReleaseResult
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import parse_reference
from tests.support.specs import ftlapp

OLD, NEW = (f"r.dev/apps/tools@sha256:{number:064d}" for number in (1, 2))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(image, result, inputs="i"):
    return HistoryEntry(image=image, generation=1, time="2026-01-01T00:00:00Z", result=result, inputs=inputs)


def snapshot(*history, generation=1, image=OLD, rolling_since="", spin_app=True):
    cached = CachedApp(
        uid="u",
        generation=generation,
        trigger="",
        resource_version="1",
        deleting=False,
        sources=frozenset(),
        conditions=(),
        tool_count=0,
        rolling_since=rolling_since,
        packed=b"",
    )
    status = FtlAppStatus(observed_generation=1, image=image, history=history)
    return Snapshot(NamespacedName("ns", "tools"), cached, {}, status, {} if spin_app else None, NOW)


def planned(image=NEW, inputs="i2", **spec):
    app = FtlApp.parse(ftlapp(spec))
    return Planned(app, ReleaseResult(Release(parse_reference(image), inputs)))


def choice(seen, plan, rollouts=0):
    return choose(seen, plan, rollouts=lambda: rollouts, max_rollouts=1)


SERVING = entry(OLD, "Serving")


def test_what_was_planned_runs():
    found = choice(snapshot(SERVING), planned())
    assert (found.image, found.rolled_back, found.waiting) == (NEW, "", None)


def test_nothing_runs_that_was_not_planned():
    assert choice(snapshot(SERVING), Planned()) == Choice()
    assert choice(snapshot(SERVING), replace(planned(), result=None)) == Choice()


def test_a_version_that_failed_with_these_inputs_gives_way_to_the_last_good_one():
    failed = entry(NEW, "RolledBack", "i2")
    found = choice(snapshot(failed, entry(OLD, "Superseded")), planned())
    assert (found.image, found.rolled_back) == (OLD, NEW)
    assert choice(snapshot(failed, entry(OLD, "Superseded")), planned(inputs="i3")).image == NEW
    assert choice(snapshot(failed), planned()).image == NEW


def test_a_suspended_app_keeps_what_it_has():
    failed = entry(NEW, "RolledBack", "i2")
    assert choice(snapshot(failed, SERVING), planned(suspend=True)).image == NEW


@pytest.mark.parametrize(
    ("seen", "plan", "waits"),
    [
        (snapshot(SERVING), planned(), True),
        (snapshot(SERVING, generation=2), planned(), False),
        (snapshot(SERVING, spin_app=False), planned(), False),
        (snapshot(SERVING, rolling_since="2026-01-01T00:00:00Z"), planned(), False),
        (snapshot(SERVING), planned(OLD), False),
    ],
    ids=["nobody asked", "a new spec", "a first version", "it rolls out already", "it runs already"],
)
def test_only_so_many_rollouts_at_once_that_nobody_asked_for(seen, plan, waits):
    found = choice(seen, plan, rollouts=1)
    assert (found.waiting is not None) is waits
    assert (found.release is None) is waits
    assert choice(seen, plan, rollouts=0).waiting is None


def test_apps_are_not_counted_where_the_count_decides_nothing():
    def count():
        raise AssertionError("every app is looked at for one that did not change")

    for seen, plan in ((snapshot(SERVING), planned(OLD)), (snapshot(SERVING, generation=2), planned())):
        assert choose(seen, plan, rollouts=count, max_rollouts=1).waiting is None
