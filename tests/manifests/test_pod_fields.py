"""The operator's fields in a Deployment: what they are, when they are applied; applying converges."""

import copy

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.fields import quantity_value
from ftl_operator.api.status import ComponentStatus
from ftl_operator.cluster.deployment import rollout_of
from ftl_operator.manifests.deployment import (
    component_bytes,
    drain_seconds,
    is_applied,
    memory_notes,
    pod_fields,
)
from tests.support.specs import ftlapp

MB = 1_000_000
PLACED = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
                ]
            }
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 50, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
            ]
        },
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
}
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def app(runtime=None, **spec):
    return FtlApp.parse(ftlapp({"runtime": runtime or {}, **spec}, {"uid": "3f0e"}))


def pod_of(made):
    return made["spec"]["template"]["spec"]


def deployment(*parts):
    """A Deployment as the API server has it after these parts were applied, with what it fills in itself."""
    container = {"name": "case", "image": "r.dev/a@sha256:1", "imagePullPolicy": "IfNotPresent"}
    pod = {"containers": [container], "restartPolicy": "Always", "securityContext": {}}
    annotations = {}
    for part in copy.deepcopy(parts):
        annotations |= part["metadata"]["annotations"]
        fields = pod_of(part)
        container |= fields.pop("containers")[0]
        container["startupProbe"]["httpGet"]["scheme"] = "HTTP"
        container["startupProbe"]["successThreshold"] = 1
        pod |= fields
    metadata = {"name": "case", "uid": "d", "annotations": annotations}
    return {"metadata": metadata, "spec": {"template": {"spec": pod}}}


def applied(desired, live):
    rollout = rollout_of(live)
    return is_applied(desired, rollout.applied_digest, rollout.pod)


def test_a_pod_serves_on_for_as_long_as_a_call_may_take():
    made = pod_fields(app(gateway={"timeoutSeconds": 120}), "d", MB)
    (container,) = pod_of(made)["containers"]
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 125}}}
    assert pod_of(made)["terminationGracePeriodSeconds"] == 130
    assert drain_seconds(app()) == 35
    slow = {"name": "weather", "image": "ghcr.io/acme/weather:1", "timeoutSeconds": 300}
    assert drain_seconds(app(tools=[slow])) == 305


def test_how_long_it_serves_on_can_be_chosen():
    (container,) = pod_of(pod_fields(app({"drainSeconds": 0}), "d", MB))["containers"]
    assert "lifecycle" not in container
    assert pod_of(pod_fields(app({"drainSeconds": 7}), "d", MB))["terminationGracePeriodSeconds"] == 12


@pytest.mark.parametrize(
    ("size", "cpu", "seconds"),
    [
        (MB, None, 120),
        (37_700_000, None, 480),
        (37_700_000, "2", 480),
        (37_700_000, "500m", 960),
        (38_100_000, "500m", 960),
        (128 * MB, "100m", 3600),
    ],
)
def test_the_startup_probe_waits_for_the_compilation(size, cpu, seconds):
    runtime = {"resources": {"limits": {"cpu": cpu}}} if cpu else {}
    (container,) = pod_of(pod_fields(app(runtime), "d", size))["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == seconds
    assert probe["httpGet"] == {"path": "/healthz", "port": 80}


def test_pods_are_placed_and_confined_as_the_spec_says():
    security = {"securityContext": RESTRICTED, "podSecurityContext": {"fsGroup": 2000}}
    pod = pod_of(pod_fields(app({**PLACED, **security}), "d", MB))
    for name in ("nodeSelector", "tolerations", "priorityClassName"):
        assert pod[name] == PLACED[name]
    assert pod["affinity"]["nodeAffinity"] == PLACED["affinity"]["nodeAffinity"]
    assert pod["securityContext"] == {"fsGroup": 2000}
    assert pod["containers"][0]["securityContext"] == RESTRICTED


def test_terms_about_pods_mean_the_apps_own_unless_they_say_otherwise():
    pod = pod_of(pod_fields(app(PLACED), "d", MB))
    own = {"matchLabels": {"core.spinkube.dev/app-name": "case"}}
    (spread,) = pod["topologySpreadConstraints"]
    (near,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert spread["labelSelector"] == near["podAffinityTerm"]["labelSelector"] == own
    other = {**PLACED["topologySpreadConstraints"][0], "labelSelector": {"matchLabels": {"a": "b"}}}
    pod = pod_of(pod_fields(app({"topologySpreadConstraints": [other]}), "d", MB))
    assert pod["topologySpreadConstraints"][0]["labelSelector"] == {"matchLabels": {"a": "b"}}


@pytest.mark.parametrize("runtime", [{}, PLACED, {"securityContext": RESTRICTED}])
def test_what_was_applied_is_not_applied_again(runtime):
    desired = pod_fields(app(runtime), "d", MB)
    assert not applied(desired, deployment())
    assert applied(desired, deployment(desired))


def test_a_field_that_the_spec_drops_is_applied_away():
    assert not applied(pod_fields(app(), "d", MB), deployment(pod_fields(app(PLACED), "d", MB)))


@pytest.mark.parametrize("field", ["lifecycle", "startupProbe"])
def test_what_somebody_else_changed_is_put_back(field):
    desired = pod_fields(app(), "d", MB)
    live = deployment(desired)
    del live["spec"]["template"]["spec"]["containers"][0][field]
    assert not applied(desired, live)


def test_the_patch_is_for_exactly_this_deployment():
    metadata = pod_fields(app(), "d", MB)["metadata"]
    assert (metadata["uid"], metadata["name"], metadata["namespace"]) == ("d", "case", "agents")


@pytest.mark.parametrize(
    ("limit", "size", "warns"),
    [
        ("128Mi", 300_000, True),
        ("256Mi", 300_000, False),
        ("512Mi", 37_700_000, True),
        ("1Gi", 37_700_000, False),
        ("600M", 37_700_000, False),
        (None, 37_700_000, False),
        ("128Mi", None, False),
    ],
)
def test_a_memory_limit_below_what_compiling_takes_is_a_warning(limit, size, warns):
    runtime = {"resources": {"limits": {"memory": limit}}} if limit else {}
    notes = memory_notes(app(runtime), size)
    assert bool(notes) == warns
    assert not warns or f"limits.memory: {limit} is less than" in notes[0]


def test_a_login_takes_memory_of_its_own():
    login = {"login": {"users": {"secretRef": {"name": "people", "key": "users"}}}}
    limits = {"resources": {"limits": {"memory": "160Mi"}}}
    plain = FtlApp.parse(ftlapp({"runtime": limits}))
    people = FtlApp.parse(ftlapp({"runtime": limits, "auth": login}))
    assert memory_notes(plain, MB) == []
    (note,) = memory_notes(people, MB)
    assert "160Mi is less than the 171Mi" in note
    assert note.endswith("1.0 MB of components and the login")


def test_the_size_is_the_statuss():
    sized = [ComponentStatus(name="a", image="i", digest="d", size=size) for size in (3, 4)]
    assert component_bytes(sized) == 7
    assert component_bytes(()) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("500m", 0.5),
        ("1Ki", 1024),
        ("1.5Gi", 1.5 * 1024**3),
        ("3M", 3e6),
        ("1e3", 1e3),
        ("1E", 1e18),
    ],
)
def test_amounts_are_numbers(text, value):
    assert quantity_value(text) == value
