import pytest

from ftl_operator.api import kinds
from ftl_operator.api.names import DIGEST_ANNOTATION, TRIGGER_ANNOTATION, NamespacedName
from ftl_operator.cluster.cache import Cache, owner_of
from ftl_operator.cluster.executor import Executor, SpinAppStatus
from ftl_operator.cluster.secrets import sources_of

A = NamespacedName("ns", "a")


def app(name="a", generation=1, annotations=None, spec=None, **metadata):
    return {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": f"uid-{name}",
            "generation": generation,
            "resourceVersion": "1",
            "annotations": annotations or {},
            "managedFields": [{"manager": "kubectl"}],
            **metadata,
        },
        "spec": spec or {},
    }


def owned(name="a", owner="a", version="1", value=1, **metadata):
    return {
        "apiVersion": "core.spinkube.dev/v1alpha1",
        "kind": "SpinApp",
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": "uid-spin",
            "resourceVersion": version,
            "ownerReferences": [
                {"apiVersion": "ftl.tools/v1alpha1", "kind": "FtlApp", "name": owner, "uid": f"uid-{owner}"}
            ],
            **metadata,
        },
        "spec": {"value": value},
        "status": {"readyReplicas": int(version)},
    }


def test_only_what_others_decide_about_an_app_is_worth_a_look():
    cache = Cache()
    assert cache.observe_event(kinds.FTL_APP, app()) == [A]
    assert cache.observe_event(kinds.FTL_APP, app(resourceVersion="2")) == []
    assert cache.observe_event(kinds.FTL_APP, app(resourceVersion="3", generation=2)) == [A]
    asked = app(generation=2, annotations={TRIGGER_ANNOTATION: "now"}, resourceVersion="4")
    assert cache.observe_event(kinds.FTL_APP, asked) == [A]
    assert cache.observe_event(kinds.FTL_APP, asked) == []
    assert cache.observe_event(kinds.FTL_APP, app(), gone=True) == [A]
    assert cache.observe_event(kinds.FTL_APP, app(), gone=True) == []
    assert cache.app(A) is None


def test_what_is_kept_is_the_object_without_its_managed_fields():
    cache = Cache()
    body = app(spec={"tools": [{"name": "x"}]})
    cache.observe_event(kinds.FTL_APP, body)
    del body["metadata"]["managedFields"]
    assert cache.app(A).read() == body


def test_an_owned_objects_status_wakes_nobody_and_its_spec_does():
    cache = Cache()
    assert cache.observe_event(kinds.SPIN_APP, owned()) == [A]
    assert cache.observe_event(kinds.SPIN_APP, owned(version="2")) == []
    assert cache.observe_event(kinds.SPIN_APP, owned(version="3", value=2)) == [A]
    assert list(cache.owned(A, "uid-a")) == [(kinds.SPIN_APP, "a")]
    assert cache.owned(A, "another uid") == {}
    assert cache.observe_event(kinds.SPIN_APP, owned(value=2), gone=True) == [A]
    assert cache.owned(A, "uid-a") == {}


def test_an_object_without_owner_reference_is_known_by_label_and_annotation():
    cache = Cache()
    cache.observe_event(kinds.SPIN_APP, owned())
    orphan = owned(
        ownerReferences=[],
        labels={"app.kubernetes.io/instance": "a"},
        annotations={DIGEST_ANNOTATION: "x"},
    )
    assert cache.observe_event(kinds.SPIN_APP, orphan) == [A]
    assert len(cache.owned(A, "uid-a")) == 1
    stranger = owned(ownerReferences=[])
    copied = orphan["metadata"] | {
        "ownerReferences": [{"kind": "ScaledObject", "apiVersion": "keda.sh/v1alpha1"}]
    }
    assert owner_of("ns", copied) is None
    assert cache.observe_event(kinds.SPIN_APP, stranger) == [A]
    assert cache.owned(A, "uid-a") == {}


def test_an_object_that_changes_its_owner_leaves_the_first():
    cache = Cache()
    cache.observe_event(kinds.SPIN_APP, owned())
    assert cache.observe_event(kinds.SPIN_APP, owned(owner="b")) == [NamespacedName("ns", "b")]
    assert cache.owned(A, "uid-a") == {}


def secret(version="1", name="weather", namespace="ns", data=None):
    metadata = {"namespace": namespace, "name": name, "resourceVersion": version, "uid": f"uid-{name}"}
    return {"metadata": metadata, "data": data or {"k": "c2VjcmV0"}}


def test_a_digest_of_a_source_is_not_the_values_and_differs_between_objects():
    cache = Cache()
    cache.observe_event(kinds.SECRET, secret())
    cache.observe_event(kinds.SECRET, secret(name="copy"))
    one, other = cache.source("Secret", "ns", "weather"), cache.source("Secret", "ns", "copy")
    assert one.digest != other.digest
    assert len(one.digest) == 16


def test_older_news_does_not_undo_what_a_worker_wrote():
    cache = Cache()
    cache.observe_event(kinds.SPIN_APP, owned(version="7", value=2))
    assert cache.observe_event(kinds.SPIN_APP, owned(version="5", value=1)) == []
    assert cache.owned(A, "uid-a")[kinds.SPIN_APP, "a"].read()["spec"] == {"value": 2}
    cache.observe_event(kinds.FTL_APP, app(resourceVersion="9", generation=2))
    assert cache.observe_event(kinds.FTL_APP, app(resourceVersion="8", generation=1)) == []
    assert cache.app(A).generation == 2


def test_a_secret_wakes_exactly_the_apps_that_name_it():
    cache = Cache()
    variables = [{"name": "key", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "k"}}}]
    cache.observe_event(kinds.FTL_APP, app(spec={"tools": [{"variables": variables}]}))
    cache.observe_event(kinds.FTL_APP, app("b"))
    assert cache.observe_event(kinds.SECRET, secret()) == [A]
    assert cache.observe_event(kinds.SECRET, secret()) == []
    assert cache.observe_event(kinds.SECRET, secret("2")) == []
    assert cache.observe_event(kinds.SECRET, secret("3", data={"k": "Yw=="})) == [A]
    assert cache.observe_event(kinds.SECRET, secret(name="other")) == []
    assert cache.observe_event(kinds.SECRET, secret(namespace="elsewhere")) == []
    assert cache.source("Secret", "ns", "weather").keys == ("k",)
    assert cache.observe_event(kinds.SECRET, secret(), gone=True) == [A]
    assert cache.source("Secret", "ns", "weather") is None


def test_an_executor_wakes_its_namespace_once():
    cache = Cache()
    cache.observe_event(kinds.FTL_APP, app())
    executor = {"metadata": {"namespace": "ns", "name": "containerd-shim-spin"}}
    assert cache.observe_event(kinds.SPIN_APP_EXECUTOR, executor) == [A]
    assert cache.observe_event(kinds.SPIN_APP_EXECUTOR, executor) == []
    assert cache.executor("ns", "containerd-shim-spin") == Executor()
    assert cache.observe_event(kinds.SPIN_APP_EXECUTOR, executor | {"spec": {"createDeployment": False}}) == [
        A
    ]
    assert cache.executor("ns", "containerd-shim-spin") == Executor(makes_deployment=False)
    with_spin = {"deploymentConfig": {"spinImage": "ghcr.io/spinframework/spin:v4.1.0"}}
    assert cache.observe_event(kinds.SPIN_APP_EXECUTOR, executor | {"spec": with_spin}) == [A]
    assert cache.executor("ns", "containerd-shim-spin") == Executor(spin_version="4.1.0")
    assert cache.observe_event(kinds.SPIN_APP_EXECUTOR, executor, gone=True) == [A]
    assert cache.executor("ns", "containerd-shim-spin") is None


def test_a_spin_apps_status_is_news_only_where_no_deployment_tells_more():
    def spin_app(version, executor, ready):
        made = owned(version=version)
        return made | {"spec": {"executor": executor}, "status": reported(ready)}

    cache = Cache()
    cache.observe_event(kinds.FTL_APP, app())
    for name, makes in (("shim", True), ("external", False)):
        executor = {"metadata": {"namespace": "ns", "name": name}, "spec": {"createDeployment": makes}}
        cache.observe_event(kinds.SPIN_APP_EXECUTOR, executor)
    assert cache.observe_event(kinds.SPIN_APP, spin_app("1", "shim", 1)) == [A]
    assert cache.observe_event(kinds.SPIN_APP, spin_app("2", "shim", 2)) == []
    assert cache.observe_event(kinds.SPIN_APP, spin_app("3", "external", 2)) == [A]
    assert cache.observe_event(kinds.SPIN_APP, spin_app("4", "external", 2)) == []
    assert cache.observe_event(kinds.SPIN_APP, spin_app("5", "external", 3)) == [A]
    assert cache.report(A).ready == 3
    assert cache.observe_event(kinds.SPIN_APP, spin_app("5", "external", 3), gone=True) == [A]
    assert cache.report(A) == SpinAppStatus()


def reported(ready):
    return {"readyReplicas": ready, "conditions": [{"type": "Available", "status": "True", "reason": "Up"}]}


def test_a_deployment_wakes_its_app_when_its_numbers_change():
    cache = Cache()
    deployment = {"metadata": {"namespace": "ns", "name": "a", "generation": 1}, "status": {"replicas": 1}}
    assert cache.observe_event(kinds.DEPLOYMENT, deployment) == []
    cache.observe_event(kinds.FTL_APP, app())
    assert cache.observe_event(kinds.DEPLOYMENT, deployment) == []
    assert cache.observe_event(kinds.DEPLOYMENT, deployment | {"status": {"replicas": 2}}) == [A]
    assert cache.rollout(A).total == 2
    assert cache.observe_event(kinds.DEPLOYMENT, deployment, gone=True) == [A]
    assert cache.rollout(A) is None


@pytest.mark.parametrize(
    ("spec", "sources"),
    [
        ({}, set()),
        ({"publish": {"secretRef": {"name": "push"}}}, {("Secret", "push")}),
        ({"imagePullSecrets": [{"name": "pull"}]}, {("Secret", "pull")}),
        ({"auth": {"policy": {"configMapKeyRef": {"name": "rego", "key": "r"}}}}, {("ConfigMap", "rego")}),
        ({"runtime": {"runtimeConfig": {"loadFromSecret": "toml"}}}, {("Secret", "toml")}),
    ],
)
def test_sources_are_found_wherever_they_stand(spec, sources):
    assert set(sources_of(spec)) == sources


def test_rollouts_under_way_are_counted_until_they_are_old():
    cache = Cache()
    rolling = {"history": [{"time": "2026-01-01T00:10:00Z", "result": "RollingOut"}]}
    cache.observe_event(kinds.FTL_APP, app() | {"status": rolling})
    cache.observe_event(
        kinds.FTL_APP, app("b") | {"status": {"history": [rolling["history"][0] | {"result": "Serving"}]}}
    )
    assert cache.rollouts("2026-01-01T00:05:00Z") == 1
    assert cache.rollouts("2026-01-01T00:15:00Z") == 0
