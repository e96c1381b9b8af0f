"""The harness itself behaves as a cluster with SpinKube, on which the other tests rely."""

import json
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
import urllib3

from e2e.cluster.api import ApiError, Object
from e2e.cluster.control_plane import EXECUTOR, NODE, SPIN, Cluster
from e2e.support.artifacts import push_spin_app, tool_component
from e2e.support.process import python, wait_until


def spin_app(name: str, namespace: str, image: str, **spec: object) -> Object:
    # Without a delay of its own the CRD's default is 10 s; 0 does not survive the webhook's omitempty.
    readiness = {
        "httpGet": {"path": "/", "httpHeaders": []},
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
    }
    return {
        "apiVersion": SPIN,
        "kind": "SpinApp",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "image": image,
            "executor": EXECUTOR,
            "replicas": 1,
            "imagePullSecrets": [{"name": "registry"}],
            "checks": {"readiness": readiness},
            **spec,
        },
    }


def pods(cluster: Cluster, namespace: str) -> list[Object]:
    return cluster.api.list("v1", "Pod", namespace)


def ready(cluster: Cluster, namespace: str, name: str) -> Callable[[], bool]:
    def check() -> bool:
        status = cluster.api.get("apps/v1", "Deployment", name, namespace)["status"]
        return bool(status.get("readyReplicas")) and status["readyReplicas"] == status["replicas"]

    return check


def service_url(cluster: Cluster, namespace: str, name: str) -> str:
    spec = cluster.api.get("v1", "Service", name, namespace)["spec"]
    return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"


def call(url: str, **arguments: object) -> Object:
    body = json.dumps(arguments).encode()
    # A kept connection ends with its pod, whatever the Service does for new ones.
    once = {"Connection": "close"}
    answer = urllib3.request("POST", f"{url}/greet", body=body, headers=once, timeout=10, retries=False)
    assert answer.status == 200, answer.data
    return json.loads(json.loads(answer.data)["content"][0]["text"])


def waiting_reason(cluster: Cluster, namespace: str) -> str:
    statuses = [s for pod in pods(cluster, namespace) for s in pod["status"].get("containerStatuses", [])]
    return statuses[0]["state"].get("waiting", {}).get("reason", "") if statuses else ""


def test_a_spin_app_runs_and_leaves_nothing(cluster: Cluster, namespace: str) -> None:
    image = push_spin_app(cluster.registry, "spin/hello", "1", tool_component("greet", version="7"))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "units", "namespace": namespace}}
    cluster.api.apply({**secret, "stringData": {"system": "imperial"}})
    variable = {"name": "units", "valueFrom": {"secretKeyRef": {"name": "units", "key": "system"}}}
    cluster.api.apply(spin_app("hello", namespace, image, variables=[variable]))
    wait_until("the app is ready", ready(cluster, namespace, "hello"))
    url = service_url(cluster, namespace, "hello")
    wait_until("the Service answers", lambda: call(url))
    answer = call(url, variables=["units"])
    assert answer["version"] == "7"
    assert answer["variables"] == {"units": "imperial"}
    (pod,) = pods(cluster, namespace)
    assert pod["status"]["containerStatuses"][0]["imageID"] == image
    cluster.api.delete(SPIN, "SpinApp", "hello", namespace, propagationPolicy="Background")
    wait_until("the pods are gone", lambda: not pods(cluster, namespace))
    wait_until("the Service is gone", lambda: not cluster.api.list("v1", "Service", namespace))
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, timeout=2, retries=False)


def test_a_pod_says_why_it_does_not_run(cluster: Cluster, namespace: str) -> None:
    missing = f"{cluster.registry.address}/spin/none@sha256:{'0' * 64}"
    cluster.api.apply(spin_app("app", namespace, missing))
    wait_until("pull error", lambda: waiting_reason(cluster, namespace) == "ImagePullBackOff")
    image = push_spin_app(cluster.registry, "spin/hello", "1", tool_component("greet"))
    variable = {"name": "units", "valueFrom": {"secretKeyRef": {"name": "none", "key": "system"}}}
    cluster.api.apply(spin_app("app", namespace, image, variables=[variable]))
    wait_until(
        "config error",
        lambda: (
            "CreateContainerConfigError"
            in {
                status["state"].get("waiting", {}).get("reason")
                for pod in pods(cluster, namespace)
                for status in pod["status"].get("containerStatuses", [])
            }
        ),
    )
    wrong = cluster.registry.push("spin/wrong", "1", {}, [("application/vnd.oci.image.layer.v1.tar", b"no")])
    cluster.api.apply(spin_app("app", namespace, f"{cluster.registry.address}/spin/wrong@{wrong}"))

    def told() -> bool:
        return any(
            "no locked Spin application" in status["state"].get("waiting", {}).get("message", "")
            for pod in pods(cluster, namespace)
            for status in pod["status"].get("containerStatuses", [])
        )

    wait_until("a wrong artifact is told", told)


def test_a_container_that_ends_is_started_again(cluster: Cluster, namespace: str) -> None:
    image = push_spin_app(cluster.registry, "spin/hello", "1", tool_component("greet"))
    cluster.api.apply(spin_app("app", namespace, image))
    wait_until("the app is ready", ready(cluster, namespace, "app"))
    cluster.kill_pod(namespace, pods(cluster, namespace)[0]["metadata"]["name"])

    def restarted() -> bool:
        status = pods(cluster, namespace)[0]["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and status["lastState"]["terminated"]["exitCode"] == 137

    wait_until("a restart is counted", restarted)
    wait_until("the app is ready again", ready(cluster, namespace, "app"))


def test_no_request_fails_while_a_new_version_rolls_out(cluster: Cluster, namespace: str) -> None:
    first = push_spin_app(cluster.registry, "spin/roll", "1", tool_component("greet", version="1"))
    second = push_spin_app(cluster.registry, "spin/roll", "2", tool_component("greet", version="2"))
    cluster.api.apply(spin_app("app", namespace, first, replicas=2))
    wait_until("the app is ready", ready(cluster, namespace, "app"))
    # Spin ends at once, so pods that serve on meanwhile are what makes a roll lose nothing.
    container = {"name": "app", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}
    kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
    part = {**kind, "metadata": {"name": "app", "namespace": namespace}}
    cluster.api.apply({**part, "spec": {"template": {"spec": {"containers": [container]}}}})
    wait_until(
        "every pod serves on when it is told to end",
        lambda: (
            [("lifecycle" in pod["spec"]["containers"][0]) for pod in pods(cluster, namespace)] == [True] * 2
        ),
        60,
    )
    wait_until("the app is ready again", ready(cluster, namespace, "app"))
    url = service_url(cluster, namespace, "app")
    wait_until("the Service answers", lambda: call(url))
    cluster.api.apply(spin_app("app", namespace, second, replicas=2))
    deadline = time.monotonic() + 60
    versions: list[str] = []
    pace = threading.Event()
    while time.monotonic() < deadline and versions[-40:] != ["2"] * 40:
        versions.append(call(url)["version"])
        pace.wait(0.02)
    assert versions[0] == "1"
    assert versions[-1] == "2"


def test_a_service_spreads_over_pods_and_follows_the_scale(cluster: Cluster, namespace: str) -> None:
    image = push_spin_app(cluster.registry, "spin/hello", "1", tool_component("greet"))
    app = spin_app("app", namespace, image, enableAutoscaling=True)
    del app["spec"]["replicas"]
    cluster.api.apply(app)
    wait_until("the app is ready", ready(cluster, namespace, "app"))
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": namespace},
    }
    cluster.api.merge(deployment, {"spec": {"replicas": 0}}, "scale")
    wait_until("no pod is left", lambda: not pods(cluster, namespace))
    url = service_url(cluster, namespace, "app")

    def refused() -> bool:
        try:
            call(url)
        except urllib3.exceptions.HTTPError:
            return True
        return False

    wait_until("the Service refuses", refused)
    cluster.api.merge(deployment, {"spec": {"replicas": 2}}, "scale")
    wait_until("two pods answer", lambda: call(url) and ready(cluster, namespace, "app")())


def test_the_api_server_comes_back_with_its_objects(cluster: Cluster, namespace: str) -> None:
    image = push_spin_app(cluster.registry, "spin/hello", "1", tool_component("greet"))
    cluster.api.apply(spin_app("app", namespace, image))
    wait_until("the app is ready", ready(cluster, namespace, "app"))
    url = service_url(cluster, namespace, "app")
    wait_until("the Service answers", lambda: call(url))
    cluster.apiserver.kill()
    assert call(url)["tool"] == "greet"
    cluster.apiserver.start()
    wait_until("the API server is ready", lambda: cluster.api.request("GET", "/readyz") == "ok", 60)
    cluster.api.merge(spin_app("app", namespace, image), {"spec": {"replicas": 2}})
    wait_until(
        "the controllers work on",
        lambda: (
            cluster.api.get("apps/v1", "Deployment", "app", namespace)["status"].get("readyReplicas") == 2
        ),
    )


def test_webhooks_and_crds_are_the_real_ones(cluster: Cluster, namespace: str) -> None:
    app = spin_app("app", namespace, "ghcr.io/acme/app:1", enableAutoscaling=True)
    with pytest.raises(ApiError, match="replicas"):
        cluster.api.apply(app)
    names = {
        crd["metadata"]["name"]
        for crd in cluster.api.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    }
    assert {
        "scaledobjects.keda.sh",
        "httpscaledobjects.http.keda.sh",
        "servicemonitors.monitoring.coreos.com",
        "httproutes.gateway.networking.k8s.io",
    } <= names


def test_names_of_services_resolve_in_the_cluster(cluster: Cluster, namespace: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "some", "namespace": namespace},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "none"}},
    }
    address = cluster.api.apply(service)["spec"]["clusterIP"]
    other = {**service, "metadata": {"name": "other", "namespace": namespace}}
    other["spec"] = {"type": "ExternalName", "externalName": f"some.{namespace}.svc.cluster.local"}
    cluster.api.apply(other)
    for name in ("some", "other"):
        code = f"import socket; print(socket.gethostbyname('{name}.{namespace}.svc'))"
        command = python("-c", code)
        wait_until(
            f"{name} resolves", lambda command=command: cluster.in_cluster(*command).strip() == address
        )


def test_up_has_help() -> None:
    done = subprocess.run(python("-m", "e2e", "up", "--help"), capture_output=True, text=True, check=True)
    assert "KUBECONFIG" in done.stdout


def test_the_node_is_registered(cluster: Cluster) -> None:
    node = cluster.kubectl("get", "node", NODE, "--no-headers")
    assert " Ready " in node
