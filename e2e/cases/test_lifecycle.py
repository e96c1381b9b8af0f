"""The life of an FtlApp: created, changed in every way that people and autoscalers do it, and deleted."""

import datetime as dt
import json
import time
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from e2e.cluster.api import Object
from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.apps import App, Mcp, McpError, Traffic, tool
from e2e.support.process import wait_until

Push = Callable[..., str]

pytestmark = pytest.mark.usefixtures("operator")


def image_of(app: App) -> str:
    return app.spin_app()["spec"]["image"]


def secret(namespace: str, name: str, **values: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": values,
    }


def test_an_app_answers_through_its_service_and_leaves_nothing(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    before = operator.mark()
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast", "history")))
    assert not app.owned()
    app.apply().wait()
    assert app.mcp.tools() == ["weather__forecast", "weather__history"]
    answer = app.mcp.call("weather__forecast", city="Rome")
    assert answer["tool"] == "forecast"
    assert answer["arguments"] == {"city": "Rome"}

    status = app.status()
    assert [entry["name"] for entry in status["tools"]] == ["weather__forecast", "weather__history"]
    assert status["components"][0]["digest"].startswith("sha256:")
    assert status["image"] == image_of(app)
    assert "@sha256:" in status["image"]
    for kind in (
        "Resolved",
        "Inspected",
        "AuthReady",
        "Composed",
        "Published",
        "Available",
        "Verified",
        "Ready",
    ):
        condition = app.condition(kind)
        assert condition["status"] == "True", app.explain()
        assert condition["observedGeneration"] == status["observedGeneration"]
    assert not app.condition("Stalled")
    assert not app.condition("Reconciling")
    row = cluster.kubectl("get", "ftl", "--namespace", namespace)
    assert "Ready" in row.splitlines()[0].title()
    assert "True" in row.splitlines()[1]

    assert len(cluster.registry.pushed(app.repository)) == 1
    assert not operator.refused(before)
    app.delete()
    wait_until("everything is gone", lambda: not app.owned(), 60)


def test_a_second_apply_and_a_server_side_diff_are_empty(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    settled, since = app.get(), operator.mark()
    again = cluster.api.apply(app.manifest, "kubectl")
    assert again["metadata"]["generation"] == settled["metadata"]["generation"]
    assert again["spec"] == app.manifest["spec"], "the operator and the API server add nothing to the spec"
    # `kubectl diff` ends with an error if there is a difference.
    differences = cluster.kubectl(
        "diff", "--server-side", "--field-manager=kubectl", "--filename=-", stdin=json.dumps(app.manifest)
    )
    assert not differences
    app.nudge()
    assert not operator.changes(since, namespace), "a reconcile without a change writes nothing but its echo"
    assert len(cluster.registry.pushed(app.repository)) == 1


def test_tools_are_added_removed_and_updated_by_tag(cluster: Cluster, namespace: str, push: Push) -> None:
    weather = push("weather", "latest", "forecast", version="1")
    app = App(cluster, namespace, tool("weather", weather)).apply()
    app.wait()
    with Traffic(app, "weather__forecast") as traffic:
        app.spec["tools"].append(tool("units", push("units", "1", "convert")))
        app.apply().wait()
        wait_until("a tool is added", lambda: app.mcp.tools() == ["weather__forecast", "units__convert"], 30)
        assert set(traffic.versions) == {"1"}

        push("weather", "latest", "forecast", "alerts", version="2")
        app.nudge()
        wait_until("the tag's new tools are listed", lambda: "weather__alerts" in app.mcp.tools(), 60)
        app.roll_out()
        # While one version replaces another, the Service spreads over both; from here on there is one.
        rolled = time.monotonic()
        assert traffic.since(rolled) == {"2"}
        assert app.status()["components"][0]["image"].endswith(
            cluster.registry.digest(f"tools/{namespace}/weather", "latest")
        )

        del app.spec["tools"][1]
        app.apply().wait()
        wait_until(
            "a tool is removed", lambda: app.mcp.tools() == ["weather__forecast", "weather__alerts"], 30
        )
        app.roll_out()
        assert traffic.since(rolled) == {"2"}
    traffic.check()
    assert set(traffic.versions) == {"1", "2"}
    assert traffic.versions[0] == "1"
    pushed = cluster.registry.pushed(app.repository)
    assert len(pushed) == 4, "each of the four versions is pushed once"


def test_the_same_tools_again_are_the_same_image(cluster: Cluster, namespace: str, push: Push) -> None:
    first = tool("weather", push("weather", "1", "forecast"))
    app = App(cluster, namespace, first).apply()
    app.wait()
    image = image_of(app)
    app.spec["tools"] = [first, tool("units", push("units", "1", "convert"))]
    app.apply().wait()
    assert image_of(app) != image
    app.spec["tools"] = [first]
    app.apply().wait()
    assert image_of(app) == image


def test_a_changed_secret_rolls_the_pods(cluster: Cluster, namespace: str, push: Push) -> None:
    cluster.api.apply(secret(namespace, "weather", key="hunter-1"))
    source = {"secretKeyRef": {"name": "weather", "key": "key"}}
    weather = tool(
        "weather", push("weather", "1", "forecast"), variables=[{"name": "api_key", "valueFrom": source}]
    )
    app = App(cluster, namespace, weather).apply()
    app.wait()

    def key() -> str:
        return app.mcp.call("weather__forecast", variables=["api_key"])["variables"]["api_key"]

    assert key() == "hunter-1"
    image = image_of(app)
    with Traffic(app, "weather__forecast") as traffic:
        cluster.api.apply(secret(namespace, "weather", key="hunter-2"))
        wait_until("the new value is read", lambda: key() == "hunter-2", 60)
        app.wait()
    traffic.check()
    assert image_of(app) == image, "no secret is part of the artifact"
    everything = json.dumps([app.get(), app.spin_app(), app.deployment()])
    assert "hunter-2" not in everything
    events = json.dumps(cluster.api.list("v1", "Event", namespace))
    assert "hunter-2" not in events


def test_a_missing_secret_is_named_and_then_found(cluster: Cluster, namespace: str, push: Push) -> None:
    source = {"secretKeyRef": {"name": "weather", "key": "key"}}
    weather = tool(
        "weather", push("weather", "1", "forecast"), variables=[{"name": "api_key", "valueFrom": source}]
    )
    app = App(cluster, namespace, weather).apply()
    condition = app.wait("Ready", "False")
    wait_until("the Secret is named", lambda: "weather" in app.condition("Ready")["message"])
    assert condition
    cluster.api.apply(secret(namespace, "weather", key="there"))
    app.wait(seconds=90)


def test_a_missing_volume_is_named_though_only_an_event_has_it(
    cluster: Cluster, namespace: str, push: Push
) -> None:
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        runtime={
            "volumes": [{"name": "data", "secret": {"name": "api-keys"}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
        },
    ).apply()
    cause = 'FailedMount: MountVolume.SetUp failed for volume "data" : secret "api-keys" not found'
    wait_until("the volume is named", lambda: cause in app.condition("Ready").get("message", ""), 90)
    node = app.pods()[0]["spec"]["nodeName"]
    assert f" on node {node}: " in app.condition("Ready")["message"]
    cluster.api.apply(secret(namespace, "api-keys", key="there"))
    app.wait(seconds=90)


class Issuer:
    """Tokens signed with a key that the app is told about, so no issuer has to be reached."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.public_key = (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def token(self, subject: str) -> str:
        now = dt.datetime.now(dt.UTC)
        claims = {
            "iss": "https://login.e2e.test",
            "aud": "https://tools.e2e.test/mcp",
            "sub": subject,
            "iat": now,
            "exp": now + dt.timedelta(minutes=10),
        }
        return jwt.encode(claims, self._key, "RS256")


def test_access_is_changed(cluster: Cluster, namespace: str, push: Push) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    issuer = Issuer()
    app.spec["access"] = "private"
    app.spec["auth"] = {
        "issuer": "https://login.e2e.test",
        "publicKey": issuer.public_key,
        "audiences": ["https://tools.e2e.test/mcp"],
        "allowedSubjects": ["ann"],
    }
    app.apply().wait()

    def refused(token: str) -> int:
        try:
            Mcp(app.url, token).tools()
        except McpError as error:
            return error.status
        return 200

    wait_until("strangers are refused", lambda: refused("") == 401)
    assert refused(issuer.token("ann")) == 200
    assert refused(issuer.token("bob")) == 403
    assert refused(Issuer().token("ann")) == 401
    answer = Mcp(app.url, issuer.token("ann")).call("weather__forecast")
    assert "ann" in json.dumps(answer["identity"])

    app.spec["auth"]["allowedSubjects"] = ["bob"]
    app.apply().wait()
    wait_until("the other subject is let in", lambda: refused(issuer.token("bob")) == 200)
    wait_until("the first is not", lambda: refused(issuer.token("ann")) == 403)

    app.spec["access"] = "public"
    del app.spec["auth"]
    app.apply().wait()
    wait_until("everyone may call", lambda: refused("") == 200)


def test_an_autoscaler_scales_to_zero_and_back_without_a_fight(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    scaling = {"minReplicas": 0, "maxReplicas": 5, "scaler": "keda-http", "concurrency": 10}
    checks = {"readiness": {"periodSeconds": 1}}
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        runtime={"autoscaling": scaling, "checks": checks},
        route={"host": "tools.e2e.test"},
    ).apply()
    app.wait()
    kinds = {owned.partition("/")[0] for owned in app.owned()}
    assert {"InterceptorRoute", "ScaledObject"} <= kinds
    generation = app.deployment()["metadata"]["generation"]
    since = operator.mark()
    for replicas in (3, 0, 2):
        app.scale(replicas)
        generation += 1
        wait_until(
            f"{replicas} pods",
            lambda replicas=replicas: len(app.pods()) == replicas and _ready(app) == replicas,
            60,
        )
        # The operator hears of the Deployment by another watch than of the nudge: it is to know that already.
        app.wait(reason="Succeeded" if replicas else "ScaledToZero")
        app.nudge()
        assert app.deployment()["spec"]["replicas"] == replicas
        if replicas:
            app.wait(reason="Succeeded")
            # Between a pod's readiness and its place behind the Service are two more controllers.
            wait_until("the pods answer", lambda: app.mcp.tools() == ["weather__forecast"], 10)
        else:
            assert app.condition("Ready")["reason"] == "ScaledToZero", app.explain()
    assert app.deployment()["metadata"]["generation"] == generation, "only the scaler changed the Deployment"
    changes = operator.changes(since, namespace)
    assert not [write for write in changes if "/scale" in write or "/spinapps/" in write]


def _ready(app: App) -> int:
    return app.deployment()["status"].get("readyReplicas", 0)


def test_an_executor_that_makes_no_deployment(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    spin = "core.spinkube.dev/v1alpha1"
    external = {
        "apiVersion": spin,
        "kind": "SpinAppExecutor",
        "metadata": {"name": "external", "namespace": namespace},
        "spec": {"createDeployment": False},
    }
    cluster.api.apply(external)
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        runtime={"executor": "external", "replicas": 2},
    ).apply()
    app.wait(reason="NoDeployment")
    assert app.condition("Available")["status"] == "Unknown", app.explain()
    # spin-operator makes the Service, and it leads nowhere.
    app.wait("Verified", "Unknown", reason="NotVerified")
    assert not app.pods()

    def report(status: str, message: str) -> None:
        condition = {
            "type": "Available",
            "status": status,
            "reason": "Scheduled",
            "message": message,
            "lastTransitionTime": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        said = {"conditions": [condition], "activeScheduler": "external", "readyReplicas": 2}
        cluster.api.merge(app.spin_app(), {"status": said}, "status")

    report("False", "no node has room")
    app.wait("Ready", "False", reason="NoDeployment")
    assert "no node has room" in app.condition("Available")["message"]
    report("True", "2 instances")
    app.wait(reason="Succeeded")
    assert app.status()["readyReplicas"] == 2
    since = operator.mark()
    app.nudge()
    assert not operator.changes(since, namespace)

    del app.spec["runtime"]["replicas"]
    app.spec["runtime"]["autoscaling"] = {"minReplicas": 1, "maxReplicas": 3, "scaler": "keda-http"}
    app.apply().wait("Stalled", reason="NoDeployment")
    assert "spec.runtime.autoscaling" in app.condition("Stalled")["message"]
    # The same app where spin-operator runs it, and where that runtime's old report says nothing.
    del app.spec["runtime"]["autoscaling"]
    app.spec["runtime"]["executor"] = "containerd-shim-spin"
    app.apply().wait(reason="Succeeded", seconds=90)
    assert app.mcp.tools() == ["weather__forecast"]
    app.spec["runtime"]["executor"] = "external"
    app.apply().wait(reason="NoDeployment", seconds=90)
    wait_until("the pods are gone", lambda: not app.pods(), 60)


def test_replicas_follow_the_spec(cluster: Cluster, namespace: str, push: Push) -> None:
    app = App(cluster, namespace, tool("weather", push("weather", "1", "forecast"))).apply()
    app.wait()
    image = image_of(app)
    with Traffic(app, "weather__forecast") as traffic:
        app.spec["runtime"]["replicas"] = 3
        app.apply()
        wait_until("three pods", lambda: _ready(app) == 3, 60)
        assert any(owned.startswith("PodDisruptionBudget/") for owned in app.owned())
        app.spec["runtime"]["replicas"] = 1
        app.apply()
        wait_until("one pod", lambda: len(app.pods()) == 1, 60)
        app.wait()
    traffic.check()
    wait_until(
        "no disruption budget is left",
        lambda: not any(owned.startswith("PodDisruptionBudget/") for owned in app.owned()),
    )
    assert image_of(app) == image


def test_suspend_stops_the_pods_and_resume_brings_them_back(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    app = App(
        cluster,
        namespace,
        tool("weather", push("weather", "1", "forecast")),
        runtime={"replicas": 2, "checks": {"readiness": {"periodSeconds": 1}}},
    ).apply()
    app.wait()
    app.spec["suspend"] = True
    app.apply()
    wait_until("no pod runs", lambda: not app.pods(), 60)
    condition = app.wait(reason="Suspended")
    assert condition["status"] == "True"
    since = operator.mark()
    push("weather", "1", "forecast", "alerts", version="2")
    app.nudge()
    assert not operator.changes(since, namespace)

    app.spec["suspend"] = False
    app.apply()
    app.wait()
    wait_until("both pods are back", lambda: _ready(app) == 2, 60)
    assert app.mcp.tools() == ["weather__forecast", "weather__alerts"]


def test_everything_optional_is_accepted_and_removed_again(
    cluster: Cluster, operator: Operator, namespace: str, push: Push
) -> None:
    since = operator.mark()
    app = App(
        cluster,
        namespace,
        tool(
            "weather", push("weather", "1", "forecast"), allowedOutboundHosts=["https://api.open-meteo.com"]
        ),
        route={"host": "tools.e2e.test", "gatewayRef": {"name": "public"}},
        telemetry={"serviceMonitor": True},
        runtime={
            "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "cpu": 80},
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            "checks": {"readiness": {"periodSeconds": 1}},
        },
    ).apply()
    app.wait()
    kinds = {owned.partition("/")[0] for owned in app.owned()}
    assert kinds >= {
        "SpinApp",
        "ConfigMap",
        "NetworkPolicy",
        "HorizontalPodAutoscaler",
        "ServiceMonitor",
        "HTTPRoute",
    }
    app.spec["route"] = {"host": "tools.e2e.test", "ingressClassName": "nginx"}
    app.spec["telemetry"] = {"serviceMonitor": False}
    app.spec["runtime"]["autoscaling"] = {
        "minReplicas": 1,
        "maxReplicas": 3,
        "scaler": "keda",
        "triggers": [
            {
                "type": "cron",
                "metadata": {
                    "timezone": "UTC",
                    "start": "0 6 * * *",
                    "end": "0 20 * * *",
                    "desiredReplicas": "2",
                },
            }
        ],
    }
    app.apply()
    unwanted = {"HorizontalPodAutoscaler", "ServiceMonitor", "HTTPRoute"}
    wait_until(
        "what is not wanted any more is deleted",
        lambda: not unwanted & {owned.partition("/")[0] for owned in app.owned()},
        60,
    )
    app.wait()
    assert {"Ingress", "ScaledObject"} <= {owned.partition("/")[0] for owned in app.owned()}
    assert not operator.refused(since)
    app.delete()
    wait_until("everything is gone", lambda: not app.owned(), 60)
