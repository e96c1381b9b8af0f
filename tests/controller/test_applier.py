"""The operator's fields in the Deployment that spin-operator makes: applied in time, and only once."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import NamespacedName
from ftl_operator.cluster.cache import Cache
from ftl_operator.cluster.client import ConflictError
from ftl_operator.controller.applier import Applier
from ftl_operator.manifests.all import Manifests
from ftl_operator.settings import Settings
from tests.support.tiny_cluster import TinyCluster

SPEC = {"tools": [{"name": "weather", "image": "r.dev/weather:1"}], "access": "public"}
KEY = NamespacedName("ns", "tools")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPIN_APP = {
    "apiVersion": kinds.SPIN_APP.api_version,
    "kind": "SpinApp",
    "spec": {
        "executor": "spin",
        "image": "r.dev/a@sha256:1",
        "deploymentAnnotations": {"ftl.tools/spec": "1"},
    },
}


class World:
    """An app whose SpinApp has a Deployment."""

    def __init__(self, max_rollouts=20):
        self.cache = Cache()
        self.cluster = TinyCluster(self.cache)
        self.applier = Applier(Settings(max_rollouts=max_rollouts), self.cluster, self.cache)
        self.cluster.put(kinds.SPIN_APP_EXECUTOR, {}, "containerd-shim-spin")
        self.write(SPEC, components=[{"name": "weather", "image": "i", "digest": "d", "size": 1_000_000}])
        owner = {
            "apiVersion": "ftl.tools/v1alpha1",
            "kind": "FtlApp",
            "name": "tools",
            "uid": self.cluster.objects[kinds.FTL_APP, "tools"]["metadata"]["uid"],
        }
        self.spin_app = {
            **SPIN_APP,
            "metadata": {"name": "tools", "namespace": "ns", "ownerReferences": [owner]},
        }
        self.cluster.put(kinds.SPIN_APP, self.spin_app)
        self.cluster.deploy(replicas=1)

    def write(self, spec, components=(), observed=1):
        """Write the FtlApp, its status being about an observed generation."""
        self.cluster.write_app(spec)
        body = self.cluster.objects[kinds.FTL_APP, "tools"]
        status = {**body.get("status", {}), "observedGeneration": observed}
        status |= {"components": list(components)} if components else {}
        self.cluster.put(kinds.FTL_APP, {**body, "status": status})

    def apply(self, *others):
        """Apply what the app owns already, and others; what is written besides is about the Deployment."""
        snapshot = self.cache.snapshot(KEY, NOW)
        app = FtlApp.parse(snapshot.document)
        return self.applier.write(snapshot, app, Manifests((self.spin_app, *others)))

    def pod(self):
        return self.cluster.objects[kinds.DEPLOYMENT, "tools"]["spec"]["template"]["spec"]


@pytest.fixture
def world():
    return World()


def wrote(world):
    return [entry for entry in world.apply() if entry.startswith("Deployment/")]


def test_it_is_applied_once_beside_spin_operators(world):
    assert wrote(world) == ["Deployment/tools"]
    (container,) = world.pod()["containers"]
    assert container["image"] == "r.dev/a@sha256:1"
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 35}}}
    assert wrote(world) == []


def test_it_is_applied_again_when_the_spec_changes_and_when_somebody_undid_it(world):
    wrote(world)
    world.write(SPEC | {"runtime": {"nodeSelector": {"disk": "ssd"}}})
    assert wrote(world) == ["Deployment/tools"]
    assert world.pod()["nodeSelector"] == {"disk": "ssd"}
    assert wrote(world) == []
    body = world.cluster.objects[kinds.DEPLOYMENT, "tools"]
    world.pod()["nodeSelector"] = {"disk": "hdd"}
    world.cluster.put(kinds.DEPLOYMENT, body)
    assert wrote(world) == ["Deployment/tools"]
    assert world.pod()["nodeSelector"] == {"disk": "ssd"}


def test_before_the_components_sizes_are_known_nothing_is_applied(world):
    body = world.cluster.objects[kinds.FTL_APP, "tools"]
    world.cluster.put(kinds.FTL_APP, {**body, "status": {}})
    assert wrote(world) == []


def test_a_deployment_of_an_earlier_spin_app_is_left_alone(world):
    body = world.cluster.objects[kinds.DEPLOYMENT, "tools"]
    body["metadata"]["ownerReferences"] = [{"kind": "SpinApp", "uid": "another"}]
    world.cluster.put(kinds.DEPLOYMENT, body)
    assert wrote(world) == []


def test_a_deployment_that_was_replaced_meanwhile_is_no_error(world, monkeypatch):
    apply = world.cluster.apply

    def refuse(manifest):
        if manifest["kind"] == "Deployment":
            raise ConflictError("uid mismatch")
        return apply(manifest)

    monkeypatch.setattr(world.cluster, "apply", refuse)
    assert wrote(world) == []


def test_without_a_deployment_nothing_is_applied(world):
    uid = world.cluster.objects[kinds.DEPLOYMENT, "tools"]["metadata"]["uid"]
    world.cluster.delete(kinds.DEPLOYMENT, "ns", "tools", uid)
    assert wrote(world) == []


def another_app(world, name):
    """A second app whose SpinApp has a complete Deployment, as the first one's."""
    for kind in (kinds.FTL_APP, kinds.SPIN_APP, kinds.DEPLOYMENT):
        body = copy.deepcopy(world.cluster.objects[kind, "tools"])
        body["metadata"] = {key: kept for key, kept in body["metadata"].items() if key not in ("name", "uid")}
        if kind == kinds.SPIN_APP:
            owner = world.cluster.objects[kinds.FTL_APP, name]["metadata"]["uid"]
            body["metadata"]["ownerReferences"][0] |= {"name": name, "uid": owner}
        if kind == kinds.DEPLOYMENT:
            owner = world.cluster.objects[kinds.SPIN_APP, name]["metadata"]["uid"]
            body["metadata"]["ownerReferences"] = [{"kind": "SpinApp", "uid": owner}]
        world.cluster.put(kind, body, name)


def upgrade(world, name, seconds=0):
    """Whether the operator's part is applied to another app's Deployment, so many seconds later."""
    snapshot = world.cache.snapshot(NamespacedName("ns", name), NOW + timedelta(seconds=seconds))
    spin_app = world.cluster.objects[kinds.SPIN_APP, name]
    written = world.applier.write(snapshot, FtlApp.parse(snapshot.document), Manifests((spin_app,)))
    return f"Deployment/{name}" in written


def test_an_upgrade_rolls_only_so_many_apps_at_once():
    world = World(max_rollouts=2)
    for name in ("a", "b", "c"):
        another_app(world, name)
    assert [upgrade(world, name) for name in ("a", "b", "c")] == [True, True, False]
    assert [upgrade(world, name, 10) for name in ("a", "b", "c")] == [False, False, False]
    complete = copy.deepcopy(world.cluster.objects[kinds.DEPLOYMENT, "a"])
    complete["status"]["observedGeneration"] = complete["metadata"]["generation"]
    world.cluster.put(kinds.DEPLOYMENT, complete, "a")
    assert upgrade(world, "c", 20)


def test_a_deployment_that_never_completes_holds_up_no_others_for_ever():
    world = World(max_rollouts=1)
    for name in ("a", "b"):
        another_app(world, name)
    assert upgrade(world, "a")
    assert not upgrade(world, "b", 10)
    assert upgrade(world, "b", 601)


def test_what_a_person_changed_does_not_wait_for_an_upgrade():
    world = World(max_rollouts=1)
    another_app(world, "a")
    assert upgrade(world, "a")
    assert wrote(world) == []
    world.write(SPEC | {"runtime": {"nodeSelector": {"disk": "ssd"}}})
    assert wrote(world) == ["Deployment/tools"]


def scaler(world, kind, name="tools"):
    """An object that scales the app's Deployment, as the operator applies it."""
    owner = world.spin_app["metadata"]["ownerReferences"]
    metadata = {"name": name, "namespace": "ns", "ownerReferences": owner}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {}}


@pytest.mark.parametrize("old", kinds.SCALERS)
@pytest.mark.parametrize("new", kinds.SCALERS)
def test_one_scaler_goes_before_another_comes(world, old, new):
    """KEDA's webhook refuses a second one for a Deployment, so the order decides whether the move ends."""
    world.apply(scaler(world, old))
    world.cluster.writes.clear()
    world.apply(scaler(world, new))
    expected = [] if old == new else [f"delete {old.kind}/tools", f"apply {new.kind}/tools"]
    assert [entry for entry in world.cluster.writes if "Deployment" not in entry] == expected


def test_a_scaler_that_nothing_replaces_goes_too(world):
    world.apply(scaler(world, kinds.SCALED_OBJECT))
    assert "ScaledObject/tools" in world.apply()
    assert (kinds.SCALED_OBJECT, "tools") not in world.cluster.objects


def held_by_the_add_on(world):
    """Apply an HTTPScaledObject, and have the add-on make its ScaledObject: labels and annotations copied."""
    world.apply(scaler(world, kinds.HTTP_SCALED_OBJECT))
    old = world.cluster.objects[kinds.HTTP_SCALED_OBJECT, "tools"]
    owner = {"kind": "HTTPScaledObject", "name": "tools", "uid": old["metadata"]["uid"]}
    labels = {"app.kubernetes.io/instance": "tools"}
    metadata = {"labels": labels, "annotations": old["metadata"]["annotations"]}
    world.cluster.put(kinds.SCALED_OBJECT, {"metadata": {**metadata, "ownerReferences": [owner]}})
    world.cluster.writes.clear()
    return metadata


def about_scalers(world):
    return [entry for entry in world.cluster.writes if "Scaled" in entry]


def test_a_scaled_object_of_the_add_on_is_given_up_before_it_is_taken(world):
    """Deleted with its HTTPScaledObject, it would set the pods back to the number before."""
    given_up = held_by_the_add_on(world)
    desired = scaler(world, kinds.SCALED_OBJECT)
    for _ in range(2):
        world.apply(desired)
    assert about_scalers(world) == ["annotate HTTPScaledObject/tools"]
    asked = world.cluster.objects[kinds.HTTP_SCALED_OBJECT, "tools"]["metadata"]["annotations"]
    assert asked["httpscaledobject.keda.sh/orphan-scaledobject"] == "true"

    world.cluster.put(kinds.SCALED_OBJECT, {"metadata": given_up})
    world.cluster.writes.clear()
    world.apply(desired)
    assert about_scalers(world) == ["apply ScaledObject/tools", "delete HTTPScaledObject/tools"]
    owners = world.cluster.objects[kinds.SCALED_OBJECT, "tools"]["metadata"]["ownerReferences"]
    assert owners == desired["metadata"]["ownerReferences"]


def test_an_app_without_autoscaling_leaves_the_add_on_its_scaled_object(world):
    held_by_the_add_on(world)
    world.apply()
    assert about_scalers(world) == ["delete HTTPScaledObject/tools"]


def test_a_scaled_object_of_somebody_else_is_not_taken(world):
    held_by_the_add_on(world)
    theirs = [{"kind": "Team", "name": "a", "uid": "theirs"}]
    world.cluster.put(kinds.SCALED_OBJECT, {"metadata": {"ownerReferences": theirs}})
    with pytest.raises(ConflictError, match="belongs to somebody else"):
        world.apply(scaler(world, kinds.SCALED_OBJECT))
    assert about_scalers(world) == [], "the app keeps the scaler that it has"
