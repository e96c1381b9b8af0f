"""Rollouts lose no call, and pods are placed as the spec says, while spin-operator reconciles too."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import urllib3

from e2e.cluster.api import Object
from e2e.cluster.control_plane import NODE, Cluster
from e2e.cluster.operator import Operator
from e2e.support.apps import App, McpError, Traffic, tool
from e2e.support.process import wait_until

Push = Callable[..., str]
SLOW_SECONDS, CALL_SECONDS = 10, 12
"""How long the slow calls take, and how long a call may take."""

pytestmark = pytest.mark.usefixtures("operator")


def pod_of(app: App) -> Object:
    return app.deployment()["spec"]["template"]["spec"]


def replica_sets(app: App) -> int:
    """How many templates the Deployment has had."""
    return len(app.cluster.api.list("apps/v1", "ReplicaSet", app.namespace))


@contextmanager
def slow_calls(app: App, name: str) -> Iterator[list[str]]:
    """Clients whose calls take nearly as long as a call may; gives what failed."""
    failures: list[str] = []
    answers: list[float] = []
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                app.mcp.call(name, sleepMs=SLOW_SECONDS * 1000)
            except (McpError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                failures.append(repr(error))
            else:
                answers.append(time.monotonic())

    clients = [threading.Thread(target=run, daemon=True) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield failures
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert answers, f"no slow call was answered: {failures}"


def test_a_roll_loses_no_request(cluster: Cluster, namespace: str, push: Push) -> None:
    credentials = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "weather", "namespace": namespace},
        "stringData": {"key": "first"},
    }
    cluster.api.apply(credentials, "kubectl")
    variable = {"name": "key", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "key"}}}
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "latest", "forecast", version="1"), variables=[variable]),
        gateway={"timeoutSeconds": CALL_SECONDS},
    )
    del app.spec["runtime"]["drainSeconds"]
    app.apply().roll_out()
    assert app.container()["lifecycle"]["preStop"]["sleep"]["seconds"] == CALL_SECONDS + 5
    assert pod_of(app)["terminationGracePeriodSeconds"] == CALL_SECONDS + 10
    with Traffic(app, "weather__forecast") as traffic, slow_calls(app, "weather__forecast") as failures:
        push("weather", "latest", "forecast", version="2")
        app.nudge()
        wait_until("the tag's new version answers", lambda: traffic.versions[-1] == "2", 90)
        app.roll_out()

        before = {pod["metadata"]["uid"] for pod in app.pods()}
        credentials["stringData"] = {"key": "second"}
        cluster.api.apply(credentials, "kubectl")
        wait_until(
            "the Secret's pods are the only ones",
            lambda: not before & {pod["metadata"]["uid"] for pod in app.pods()},
            120,
        )
        app.spec["runtime"]["podLabels"] = {"team": "red"}
        app.apply().roll_out()
    traffic.check()
    assert not failures


HOST = "kubernetes.io/hostname"
TERM = {"weight": 1, "podAffinityTerm": {"topologyKey": HOST}}
SPREAD = {"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "ScheduleAnyway"}
PLACED: list[Object] = [
    {
        "nodeSelector": {HOST: NODE},
        "tolerations": [{"key": "spin", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [SPREAD],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [TERM]}},
        "priorityClassName": "tools-low",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "podSecurityContext": {"fsGroup": 2000},
    },
    {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "wasm", "operator": "Exists"}],
        "topologySpreadConstraints": [{**SPREAD, "maxSkew": 2}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": HOST, "operator": "Exists"}]}]
                }
            }
        },
        "priorityClassName": "tools-high",
        "securityContext": {"runAsUser": 65532, "runAsNonRoot": True},
        "podSecurityContext": {"fsGroup": 3000, "supplementalGroups": [4000]},
    },
]
"""Every field about placement and security, and another value of each."""


@pytest.fixture
def priority_classes(cluster: Cluster) -> Iterator[None]:
    api = "scheduling.k8s.io/v1"
    for name, value in (("tools-low", 10), ("tools-high", 20)):
        made = {"apiVersion": api, "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
        cluster.api.apply(made)
    yield
    for name in ("tools-low", "tools-high"):
        cluster.api.delete(api, "PriorityClass", name)


def own(placed: Object) -> Object:
    """The fields as a pod has them: terms about pods without a selector mean the app's own."""
    labels = {"matchLabels": {"core.spinkube.dev/app-name": "tools"}}
    made = copy.deepcopy(placed)
    made["topologySpreadConstraints"][0]["labelSelector"] = labels
    anti = made["affinity"].get("podAntiAffinity", {})
    for term in anti.get("preferredDuringSchedulingIgnoredDuringExecution", []):
        term["podAffinityTerm"]["labelSelector"] = labels
    return made


def placement(app: App) -> Object:
    """What the Deployment has of these fields, by their names in the spec."""
    pod, names = pod_of(app), set(PLACED[0])
    pod["podSecurityContext"] = pod.pop("securityContext", None)
    pod["securityContext"] = app.container().get("securityContext")
    return {name: pod[name] for name in names if pod.get(name)}


def versions(app: App) -> Object:
    """The Deployment's version, and who has written which of its fields when."""
    return {name: app.deployment()["metadata"][name] for name in ("resourceVersion", "managedFields")}


def spin_operator_looked(app: App, since: int) -> bool:
    """Whether spin-operator has applied the Deployment since a mark in the audit log, changed or not."""
    return any(
        entry["user"]["username"].endswith(":spin-operator")
        and entry["objectRef"].get("resource") == "deployments"
        and entry["objectRef"].get("namespace") == app.namespace
        for entry in app.cluster.audit(since)
    )


def test_pods_are_placed_as_the_spec_says_and_nobody_fights(
    cluster: Cluster, operator: Operator, namespace: str, push: Push, priority_classes: None
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    wait_until("the operator's part is there", lambda: "startupProbe" in app.container(), 30)
    app.roll_out()
    assert replica_sets(app) <= 2, "at most one roll at creation"

    for placed in PLACED:
        app.spec["runtime"] |= placed
        app.apply().roll_out()
        assert placement(app) == own(placed)
    where = (f"deployment/{app.name}", "--namespace", namespace)
    cluster.kubectl("rollout", "restart", *where)
    cluster.kubectl("rollout", "status", *where, "--timeout=90s")
    app.roll_out()
    assert placement(app) == own(PLACED[-1])
    assert "startupProbe" in app.container()
    assert "lifecycle" in app.container()

    # Both operators look at the app again, and neither changes a byte of the Deployment.
    settled, since = versions(app), operator.mark()
    for turn in ("first", "second"):
        mark = operator.mark()
        cluster.api.merge(app.spin_app(), {"metadata": {"annotations": {"e2e/look": turn}}})
        wait_until("spin-operator has looked", lambda mark=mark: spin_operator_looked(app, mark), 30)
        app.nudge()
    assert versions(app) == settled
    assert not operator.changes(since, namespace)
    assert not operator.refused(since)

    for field in PLACED[0]:
        del app.spec["runtime"][field]
    app.apply().roll_out()
    assert placement(app) == {}
    assert "startupProbe" in app.container()


def test_a_memory_limit_that_is_too_small_is_a_warning(cluster: Cluster, namespace: str, push: Push) -> None:
    limited = {"resources": {"limits": {"memory": "64Mi"}}, "drainSeconds": 2}
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast")), runtime=limited).apply()
    app.wait()
    wait_until("it is told", lambda: "limits.memory: 64Mi is less" in app.condition("Ready")["message"], 30)


def test_a_namespace_with_quota_and_limits_says_what_it_lacks_and_then_works(
    cluster: Cluster, namespace: str, push: Push
) -> None:
    def limit(kind: str, spec: Object) -> None:
        where = {"name": "tools", "namespace": namespace}
        cluster.api.apply({"apiVersion": "v1", "kind": kind, "metadata": where, "spec": spec})

    def told(what: str) -> None:
        wait_until(what, lambda: what in app.condition("Ready").get("message", ""), 60)

    limit("ResourceQuota", {"hard": {"limits.memory": "1Gi"}})
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    told("must specify limits.memory")

    limit("LimitRange", {"limits": [{"type": "Container", "default": {"memory": "256Mi"}}]})
    # The ReplicaSet's controller tries again with growing delays; a new template is tried at once.
    app.spec["runtime"]["podLabels"] = {"try": "again"}
    app.apply().wait(seconds=90)
    assert app.mcp.tools() == ["weather__forecast"]
    app.roll_out()

    serving = app.lasting_pods()
    app.spec["runtime"]["resources"] = {"limits": {"memory": "2Gi"}}
    app.apply()
    told("exceeded quota: tools")
    assert app.lasting_pods() == serving
    assert app.mcp.tools() == ["weather__forecast"]
    app.spec["runtime"]["resources"] = {"limits": {"memory": "384Mi"}}
    app.apply().roll_out()


def test_a_namespace_with_the_restricted_standard_says_what_it_lacks_and_then_works(
    cluster: Cluster, namespace: str, push: Push
) -> None:
    target = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.api.merge(target, {"metadata": {"labels": labels}})
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    wait_until("it is told", lambda: "PodSecurity" in app.condition("Ready").get("message", ""), 60)
    app.spec["runtime"]["securityContext"] = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    # The ReplicaSet's controller tries again with growing delays; a new template is tried at once.
    app.apply().wait(seconds=90)
    assert app.mcp.tools() == ["weather__forecast"]
