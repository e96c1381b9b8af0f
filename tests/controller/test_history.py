from datetime import UTC, datetime, timedelta

from ftl_operator.controller.status import history
from ftl_operator.controller.status.history import Version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO, THREE = Version("r@1", "i1", 1), Version("r@2", "i2", 2), Version("r@3", "i3", 3)


def rolled_out(entries, version, now=NOW):
    return history.serving(history.applied(entries, version.image, version, now), version.image)


def states(entries):
    return [(entry.image, entry.result) for entry in entries]


def test_versions_follow_each_other():
    entries = rolled_out(rolled_out([], ONE), TWO)
    assert states(entries) == [("r@2", "Serving"), ("r@1", "Superseded")]
    assert history.applied(entries, "r@2", TWO, NOW) == entries


def test_a_version_that_misses_its_deadline_gives_way_to_the_last_good_one():
    entries = history.applied(rolled_out([], ONE), "r@2", TWO, NOW)
    assert history.seconds_left(entries, "r@2", 600, NOW + timedelta(seconds=590)) == 10
    entries = history.failed(entries, "r@2", "pod a: ErrImagePull")
    assert states(entries) == [("r@2", "RolledBack"), ("r@1", "Superseded")]
    assert history.chosen(entries, TWO) == "r@1"
    assert history.applied(entries, "r@1", TWO, NOW) == entries
    assert history.seconds_left(entries, "r@1", 600, NOW) is None


def test_other_inputs_are_tried_even_if_they_make_the_same_image():
    entries = history.failed(history.applied(rolled_out([], ONE), "r@2", TWO, NOW), "r@2", "")
    again = Version("r@2", "other inputs", 3)
    assert history.chosen(entries, again) == "r@2"
    assert states(history.applied(entries, "r@2", again, NOW))[0] == ("r@2", "RollingOut")


def test_a_first_version_has_nothing_to_go_back_to():
    entries = history.applied([], "r@1", ONE, NOW)
    assert history.failed(entries, "r@1", "") is None
    assert history.chosen(entries, ONE) == "r@1"


def test_a_version_that_was_replaced_before_it_was_ready_is_nothing_to_go_back_to():
    entries = history.applied(rolled_out([], ONE), "r@2", TWO, NOW)
    entries = history.applied(entries, "r@3", THREE, NOW)
    assert states(entries) == [("r@3", "RollingOut"), ("r@2", "RolledBack"), ("r@1", "Superseded")]
    assert history.chosen(history.failed(entries, "r@3", ""), THREE) == "r@1"


def test_going_back_by_the_spec_is_a_version_of_its_own():
    entries = rolled_out(rolled_out(rolled_out([], ONE), TWO), Version("r@1", "i1", 3))
    assert states(entries) == [("r@1", "Serving"), ("r@2", "Superseded"), ("r@1", "Superseded")]


def test_the_deadline_starts_anew_after_a_suspension():
    entries = history.restarted(history.applied([], "r@1", ONE, NOW), NOW + timedelta(hours=1))
    assert history.seconds_left(entries, "r@1", 600, NOW + timedelta(hours=1)) == 600


def test_the_last_good_version_outlives_the_limit():
    entries = rolled_out([], ONE)
    for number in range(2, 9):
        version = Version(f"r@{number}", f"i{number}", number)
        entries = history.failed(history.applied(entries, version.image, version, NOW), version.image, "")
        entries = history.trimmed(entries, 3)
    assert len(entries) == 3
    assert entries[-1].image == "r@1"
    assert history.chosen(entries, version) == "r@1"
