"""Rollouts lose no call, and pods are placed as the spec says, while spin-operator reconciles too."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import urllib3

from e2e.cluster.api import Object
from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.apps import App, McpError, Traffic, tool
from e2e.support.process import wait_until

Push = Callable[..., str]
CALL_SECONDS = 6

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
                app.mcp.call(name, sleepMs=(CALL_SECONDS - 2) * 1000)
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
    assert answers, "no slow call was answered"


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


def test_pods_are_placed_as_the_spec_says_and_nobody_fights(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    wait_until("the operator's part is there", lambda: "startupProbe" in app.container(), 30)
    app.roll_out()
    assert replica_sets(app) <= 2, "at most one roll at creation"

    node = cluster.api.list("v1", "Node")[0]["metadata"]["labels"]["kubernetes.io/hostname"]
    term = {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
    placed = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"key": "spin", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "podSecurityContext": {"fsGroup": 2000},
    }
    app.spec["runtime"] |= placed
    app.apply().roll_out()
    pod = pod_of(app)
    assert pod["nodeSelector"] == placed["nodeSelector"]
    assert pod["tolerations"] == placed["tolerations"]
    assert pod["securityContext"] == {"fsGroup": 2000}
    assert app.container()["securityContext"] == placed["securityContext"]
    own = {"matchLabels": {"core.spinkube.dev/app-name": app.name}}
    assert pod["topologySpreadConstraints"][0]["labelSelector"] == own

    app.spec["runtime"]["tolerations"] = [{"key": "wasm", "operator": "Exists"}]
    del app.spec["runtime"]["securityContext"]
    app.apply().roll_out()
    assert pod_of(app)["tolerations"] == [{"key": "wasm", "operator": "Exists"}]
    assert "securityContext" not in app.container()

    cluster.kubectl("rollout", "restart", f"deployment/{app.name}", "--namespace", namespace)
    cluster.kubectl("rollout", "status", f"deployment/{app.name}", "--namespace", namespace, "--timeout=90s")
    app.wait()
    assert pod_of(app)["nodeSelector"] == placed["nodeSelector"]
    assert "startupProbe" in app.container()

    since, generation = operator.mark(), app.deployment()["metadata"]["generation"]
    app.nudge()
    app.nudge()
    assert not operator.changes(since, namespace)
    assert not operator.refused()
    assert app.deployment()["metadata"]["generation"] == generation, "nobody writes what is as it should be"

    for field in placed:
        app.spec["runtime"].pop(field, None)
    app.apply().roll_out()
    left = pod_of(app)
    assert not {"nodeSelector", "tolerations", "topologySpreadConstraints", "affinity"} & set(left)
    assert not left.get("securityContext")


def test_a_memory_limit_that_is_too_small_is_a_warning(cluster: Cluster, namespace: str, push: Push) -> None:
    limited = {"resources": {"limits": {"memory": "64Mi"}}, "drainSeconds": 2}
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast")), runtime=limited).apply()
    app.wait()
    wait_until("it is told", lambda: "limits.memory: 64Mi is less" in app.condition("Ready")["message"], 30)


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
