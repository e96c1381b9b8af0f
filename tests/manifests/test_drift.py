import copy

import pytest

from ftl_operator.api.names import DIGEST_ANNOTATION
from ftl_operator.manifests.drift import is_current, stamped

MANIFEST = {
    "apiVersion": "v1",
    "kind": "Thing",
    "metadata": {"name": "a", "namespace": "ns", "labels": {"x": "y"}},
    "spec": {
        "replicas": 2,
        "on": True,
        "list": [{"name": "one", "headers": []}, {"name": "two"}],
        "empty": {},
    },
}


def live():
    thing = copy.deepcopy(stamped(MANIFEST))
    thing["metadata"] |= {"uid": "1", "resourceVersion": "7"}
    thing["status"] = {"ready": True}
    thing["spec"]["added"] = "by a default"
    del thing["spec"]["list"][0]["headers"]
    del thing["spec"]["empty"]
    return thing


def test_what_the_cluster_adds_and_drops_by_itself_is_no_drift():
    assert is_current(live(), stamped(MANIFEST))


def test_another_manifest_is_noticed_even_if_it_only_omits_something():
    less = copy.deepcopy(MANIFEST)
    del less["spec"]["on"]
    assert not is_current(live(), stamped(less))


def drop(thing, *path):
    for part in path[:-1]:
        thing = thing[part]
    del thing[path[-1]]


def put(thing, value, *path):
    for part in path[:-1]:
        thing = thing[part]
    thing[path[-1]] = value


@pytest.mark.parametrize(
    "edit",
    [
        lambda thing: put(thing, 3, "spec", "replicas"),
        lambda thing: put(thing, "2", "spec", "replicas"),
        lambda thing: put(thing, 1, "spec", "on"),
        lambda thing: drop(thing, "spec", "on"),
        lambda thing: drop(thing, "spec", "replicas"),
        lambda thing: drop(thing, "metadata", "labels", "x"),
        lambda thing: drop(thing, "metadata", "annotations", DIGEST_ANNOTATION),
        lambda thing: thing["spec"]["list"].append({"name": "three"}),
        lambda thing: thing["spec"]["list"].reverse(),
        lambda thing: put(thing, None, "spec"),
    ],
)
def test_every_edit_of_what_was_applied_is_drift(edit):
    thing = live()
    edit(thing)
    assert not is_current(thing, stamped(MANIFEST))


def test_stamping_changes_nothing_else_and_is_repeatable():
    before = copy.deepcopy(MANIFEST)
    first, second = stamped(MANIFEST), stamped(MANIFEST)
    assert before == MANIFEST
    assert first == second
    drop(first, "metadata", "annotations")
    assert first == MANIFEST
