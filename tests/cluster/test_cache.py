import pytest

from ftl_operator.api import kinds
from ftl_operator.api.names import DIGEST_ANNOTATION, TRIGGER_ANNOTATION, NamespacedName
from ftl_operator.cluster.cache import Cache, owner_of
from ftl_operator.cluster.executor import SpinAppStatus
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
    view = Cache()
    assert view.see(kinds.FTL_APP, app()) == [A]
    assert view.see(kinds.FTL_APP, app(resourceVersion="2")) == []
    assert view.see(kinds.FTL_APP, app(resourceVersion="3", generation=2)) == [A]
    asked = app(generation=2, annotations={TRIGGER_ANNOTATION: "now"}, resourceVersion="4")
    assert view.see(kinds.FTL_APP, asked) == [A]
    assert view.see(kinds.FTL_APP, asked) == []
    assert view.see(kinds.FTL_APP, app(), gone=True) == [A]
    assert view.see(kinds.FTL_APP, app(), gone=True) == []
    assert view.app(A) is None


def test_what_is_kept_is_the_object_without_its_managed_fields():
    view = Cache()
    body = app(spec={"tools": [{"name": "x"}]})
    view.see(kinds.FTL_APP, body)
    del body["metadata"]["managedFields"]
    assert view.app(A).read() == body


def test_an_owned_objects_status_wakes_nobody_and_its_spec_does():
    view = Cache()
    assert view.see(kinds.SPIN_APP, owned()) == [A]
    assert view.see(kinds.SPIN_APP, owned(version="2")) == []
    assert view.see(kinds.SPIN_APP, owned(version="3", value=2)) == [A]
    assert list(view.owned(A, "uid-a")) == [(kinds.SPIN_APP, "a")]
    assert view.owned(A, "another uid") == {}
    assert view.see(kinds.SPIN_APP, owned(value=2), gone=True) == [A]
    assert view.owned(A, "uid-a") == {}


def test_an_object_without_owner_reference_is_known_by_label_and_annotation():
    view = Cache()
    view.see(kinds.SPIN_APP, owned())
    orphan = owned(
        ownerReferences=[],
        labels={"app.kubernetes.io/instance": "a"},
        annotations={DIGEST_ANNOTATION: "x"},
    )
    assert view.see(kinds.SPIN_APP, orphan) == [A]
    assert len(view.owned(A, "uid-a")) == 1
    stranger = owned(ownerReferences=[])
    copied = orphan["metadata"] | {
        "ownerReferences": [{"kind": "ScaledObject", "apiVersion": "keda.sh/v1alpha1"}]
    }
    assert owner_of("ns", copied) is None
    assert view.see(kinds.SPIN_APP, stranger) == [A]
    assert view.owned(A, "uid-a") == {}


def test_an_object_that_changes_its_owner_leaves_the_first():
    view = Cache()
    view.see(kinds.SPIN_APP, owned())
    assert view.see(kinds.SPIN_APP, owned(owner="b")) == [NamespacedName("ns", "b")]
    assert view.owned(A, "uid-a") == {}


def secret(version="1", name="weather", namespace="ns", data=None):
    metadata = {"namespace": namespace, "name": name, "resourceVersion": version, "uid": f"uid-{name}"}
    return {"metadata": metadata, "data": data or {"k": "c2VjcmV0"}}


def test_a_digest_of_a_source_is_not_the_values_and_differs_between_objects():
    view = Cache()
    view.see(kinds.SECRET, secret())
    view.see(kinds.SECRET, secret(name="copy"))
    one, other = view.source("Secret", "ns", "weather"), view.source("Secret", "ns", "copy")
    assert one.digest != other.digest
    assert len(one.digest) == 16


def test_older_news_does_not_undo_what_a_worker_wrote():
    view = Cache()
    view.see(kinds.SPIN_APP, owned(version="7", value=2))
    assert view.see(kinds.SPIN_APP, owned(version="5", value=1)) == []
    assert view.owned(A, "uid-a")[kinds.SPIN_APP, "a"].read()["spec"] == {"value": 2}
    view.see(kinds.FTL_APP, app(resourceVersion="9", generation=2))
    assert view.see(kinds.FTL_APP, app(resourceVersion="8", generation=1)) == []
    assert view.app(A).generation == 2


def test_a_secret_wakes_exactly_the_apps_that_name_it():
    view = Cache()
    variables = [{"name": "key", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "k"}}}]
    view.see(kinds.FTL_APP, app(spec={"tools": [{"variables": variables}]}))
    view.see(kinds.FTL_APP, app("b"))
    assert view.see(kinds.SECRET, secret()) == [A]
    assert view.see(kinds.SECRET, secret()) == []
    assert view.see(kinds.SECRET, secret("2")) == []
    assert view.see(kinds.SECRET, secret("3", data={"k": "Yw=="})) == [A]
    assert view.see(kinds.SECRET, secret(name="other")) == []
    assert view.see(kinds.SECRET, secret(namespace="elsewhere")) == []
    assert view.source("Secret", "ns", "weather").keys == ("k",)
    assert view.see(kinds.SECRET, secret(), gone=True) == [A]
    assert view.source("Secret", "ns", "weather") is None


def test_an_executor_wakes_its_namespace_once():
    view = Cache()
    view.see(kinds.FTL_APP, app())
    executor = {"metadata": {"namespace": "ns", "name": "containerd-shim-spin"}}
    assert view.see(kinds.SPIN_APP_EXECUTOR, executor) == [A]
    assert view.see(kinds.SPIN_APP_EXECUTOR, executor) == []
    assert view.executor("ns", "containerd-shim-spin") is True
    assert view.see(kinds.SPIN_APP_EXECUTOR, executor | {"spec": {"createDeployment": False}}) == [A]
    assert view.executor("ns", "containerd-shim-spin") is False
    assert view.see(kinds.SPIN_APP_EXECUTOR, executor, gone=True) == [A]
    assert view.executor("ns", "containerd-shim-spin") is None


def test_a_spin_apps_status_is_news_only_where_no_deployment_tells_more():
    def spin_app(version, executor, ready):
        made = owned(version=version)
        return made | {"spec": {"executor": executor}, "status": reported(ready)}

    view = Cache()
    view.see(kinds.FTL_APP, app())
    for name, makes in (("shim", True), ("external", False)):
        executor = {"metadata": {"namespace": "ns", "name": name}, "spec": {"createDeployment": makes}}
        view.see(kinds.SPIN_APP_EXECUTOR, executor)
    assert view.see(kinds.SPIN_APP, spin_app("1", "shim", 1)) == [A]
    assert view.see(kinds.SPIN_APP, spin_app("2", "shim", 2)) == []
    assert view.see(kinds.SPIN_APP, spin_app("3", "external", 2)) == [A]
    assert view.see(kinds.SPIN_APP, spin_app("4", "external", 2)) == []
    assert view.see(kinds.SPIN_APP, spin_app("5", "external", 3)) == [A]
    assert view.report(A).ready == 3
    assert view.see(kinds.SPIN_APP, spin_app("5", "external", 3), gone=True) == [A]
    assert view.report(A) == SpinAppStatus()


def reported(ready):
    return {"readyReplicas": ready, "conditions": [{"type": "Available", "status": "True", "reason": "Up"}]}


def test_a_deployment_wakes_its_app_when_its_numbers_change():
    view = Cache()
    deployment = {"metadata": {"namespace": "ns", "name": "a", "generation": 1}, "status": {"replicas": 1}}
    assert view.see(kinds.DEPLOYMENT, deployment) == []
    view.see(kinds.FTL_APP, app())
    assert view.see(kinds.DEPLOYMENT, deployment) == []
    assert view.see(kinds.DEPLOYMENT, deployment | {"status": {"replicas": 2}}) == [A]
    assert view.rollout(A).total == 2
    assert view.see(kinds.DEPLOYMENT, deployment, gone=True) == [A]
    assert view.rollout(A) is None


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
    view = Cache()
    rolling = {"history": [{"time": "2026-01-01T00:10:00Z", "result": "RollingOut"}]}
    view.see(kinds.FTL_APP, app() | {"status": rolling})
    view.see(
        kinds.FTL_APP, app("b") | {"status": {"history": [rolling["history"][0] | {"result": "Serving"}]}}
    )
    assert view.rollouts("2026-01-01T00:05:00Z") == 1
    assert view.rollouts("2026-01-01T00:15:00Z") == 0
