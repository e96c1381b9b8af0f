"""Scale to zero by requests, and to more, through the real programs of KEDA's HTTP add-on."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.cluster.api import Object
from e2e.cluster.control_plane import Cluster
from e2e.cluster.http_add_on import NAMESPACE, NEW, OLD, PORT, SERVICE, HttpAddOn
from e2e.cluster.operator import CHART, NAME, Operator
from e2e.support.apps import App, Mcp, Traffic, tool
from e2e.support.process import python, wait_until

Push = Callable[..., str]
SCALING = {
    "minReplicas": 0,
    "maxReplicas": 5,
    "scaler": "keda-http",
    "cooldownSeconds": 3,
}
NEW_KINDS, OLD_KINDS = {"InterceptorRoute", "ScaledObject"}, {"HTTPScaledObject"}
CLIENT = """
import json, sys, urllib.request
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
request = urllib.request.Request(sys.argv[1], body, headers)
with urllib.request.urlopen(request, timeout=60) as answer:
    print([tool["name"] for tool in json.load(answer)["result"]["tools"]])
"""

pytestmark = pytest.mark.usefixtures("operator")


@pytest.fixture(scope="module")
def add_on(cluster: Cluster) -> Iterator[HttpAddOn]:
    found = HttpAddOn(cluster).install(NEW)
    yield found
    found.remove()


@pytest.fixture
def scaled_app(cluster: Cluster, namespace: str, push: Push) -> Callable[..., App]:
    """Make an app that the add-on scales, and that nobody calls."""

    def make(name: str = "tools", concurrency: int = 10, **spec: object) -> App:
        runtime = {
            "autoscaling": {**SCALING, "concurrency": concurrency},
            "checks": {"readiness": {"periodSeconds": 1}},
            "drainSeconds": 2,
        }
        weather = tool(name, push(name, "1", "forecast"))
        return App(cluster, namespace, weather, name=name, runtime=runtime, **spec).apply()

    return make


@pytest.fixture
def idle_app(scaled_app: Callable[..., App]) -> Callable[..., App]:
    """Make an app that the add-on has scaled to zero."""

    def make(name: str = "tools", **spec: object) -> App:
        app = scaled_app(name, **spec)
        sleeps(app)
        return app

    return make


def sleeps(app: App) -> None:
    """Wait until the app has no pods and says so."""
    app.wait(reason="ScaledToZero", seconds=90)
    wait_until("no pod is left", lambda: not app.pods(), 60)


def scalers(app: App) -> set[str]:
    """The kinds of what scales it."""
    kinds = {owned.partition("/")[0] for owned in app.owned()}
    return kinds & (NEW_KINDS | OLD_KINDS)


def get(app: App, version: str, kind: str, name: str = "") -> Object:
    return app.cluster.api.get(version, kind, name or app.name, app.namespace)


def resolved(cluster: Cluster, name: str) -> str:
    return cluster.in_cluster(*python("-c", f"import socket; print(socket.gethostbyname('{name}'))")).strip()


def test_requests_at_an_ingress_wake_the_app_until_another_scaler_takes_over(
    cluster: Cluster, operator: Operator, add_on: HttpAddOn, idle_app: Callable[..., App]
) -> None:
    since = operator.mark()
    app = idle_app(
        route={"host": "tools.e2e.test", "ingressClassName": "nginx"},
        network={"allowFrom": [{"namespaceLabels": {"team": "agents"}}]},
    )
    (path,) = get(app, "networking.k8s.io/v1", "Ingress")["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["port"]["number"] == PORT
    assert resolved(cluster, f"{backend['name']}.{app.namespace}.svc") == urlsplit(add_on.url).hostname
    (rule,) = get(app, "networking.k8s.io/v1", "NetworkPolicy")["spec"]["ingress"]
    admitted = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]]
    assert {"kubernetes.io/metadata.name": NAMESPACE} in admitted

    # An ingress controller connects to where the name leads, and passes the client's Host on.
    through = Mcp(add_on.url, host="tools.e2e.test")
    assert through.tools() == ["tools__forecast"], add_on.log()
    assert through.call("tools__forecast", city="Rome")["arguments"] == {"city": "Rome"}
    sleeps(app)
    assert through.tools() == ["tools__forecast"], add_on.log()

    assert scalers(app) == NEW_KINDS
    assert f"Service/{app.name}-keda-http" in app.owned()
    # From zero pods, where a HorizontalPodAutoscaler would leave the app for ever.
    sleeps(app)
    app.spec["runtime"]["autoscaling"] = {"minReplicas": 1, "maxReplicas": 3, "cpu": 80}
    app.spec["runtime"]["resources"] = {"requests": {"cpu": "50m"}}
    app.apply()
    wait_until("what only the add-on needed is deleted", lambda: not scalers(app), 60)
    wait_until("so is its name", lambda: f"Service/{app.name}-keda-http" not in app.owned())
    app.wait(reason="Succeeded")
    (path,) = get(app, "networking.k8s.io/v1", "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": app.name, "port": {"number": 80}}
    wait_until("the app answers", lambda: app.mcp.tools() == ["tools__forecast"])
    assert not operator.refused(since)


def test_a_client_in_the_cluster_wakes_the_app_by_the_url_of_its_status(
    cluster: Cluster, add_on: HttpAddOn, idle_app: Callable[..., App]
) -> None:
    app = idle_app()
    url = app.status()["url"]
    configuration = get(app, "v1", "ConfigMap", f"{app.name}-mcp-client")["data"]["mcp.json"]
    assert json.loads(configuration)["mcpServers"][app.name]["url"] == url
    told = cluster.in_cluster(*python("-c", CLIENT, url))
    assert told.strip() == "['tools__forecast']", add_on.log()


def test_the_charts_reference_grant_is_accepted_and_names_the_interceptor(
    cluster: Cluster, add_on: HttpAddOn, namespace: str
) -> None:
    values = ("--kube-version", "1.34.0", "--set", f"keda.referenceGrants={{{namespace}}}")
    shown = ("--show-only", "templates/referencegrant.yaml")
    cluster.kubectl(
        "apply", "--filename=-", stdin=cluster.helm("template", NAME, str(CHART), *values, *shown)
    )
    (grant,) = cluster.api.list("gateway.networking.k8s.io/v1", "ReferenceGrant", NAMESPACE)
    assert grant["spec"] == {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace}],
        "to": [{"group": "", "kind": "Service", "name": SERVICE}],
    }


def test_apps_that_share_a_host_of_a_gateway_are_woken_one_by_one(
    cluster: Cluster, add_on: HttpAddOn, idle_app: Callable[..., App]
) -> None:
    for name in ("weather", "units"):
        route = {"host": "shared.e2e.test", "path": f"/{name}", "gatewayRef": {"name": "public"}}
        # Hosts that are refused unless they are named; the one that the route changes to is.
        app = idle_app(name, route=route, gateway={"allowedHosts": ["localhost"]})
        (rule,) = get(app, "gateway.networking.k8s.io/v1", "HTTPRoute")["spec"]["rules"]
        (backend,) = rule["backendRefs"]
        assert (backend["name"], backend["namespace"], backend["port"]) == (SERVICE, NAMESPACE, PORT)
        # A Gateway's implementation takes the path off and changes the host.
        rewrite = rule["filters"][0]["urlRewrite"]
        assert rewrite["path"]["replacePrefixMatch"] == "/"
        through = Mcp(add_on.url, host=rewrite["hostname"])
        assert through.tools() == [f"{name}__forecast"], add_on.log()


@contextmanager
def operator_away(operator: Operator) -> Iterator[None]:
    """Whoever changes which APIs are served does so here: the operator looks when it starts."""
    operator.scale(0)
    yield
    operator.scale(1)


def test_an_upgrade_of_the_add_on_and_back_loses_no_request_and_no_pod(
    cluster: Cluster, operator: Operator, add_on: HttpAddOn, scaled_app: Callable[..., App]
) -> None:
    with operator_away(operator):
        add_on.serve_routes(served=False)
        add_on.install(OLD)
    app = scaled_app(concurrency=2, route={"host": "moves.e2e.test", "ingressClassName": "nginx"})
    app.wait()
    assert scalers(app) == OLD_KINDS
    app.scale(0)
    sleeps(app)
    # A pod that was just started compiles, and on a busy machine that takes its time.
    through = Mcp(add_on.url, host="moves.e2e.test", timeout=60)
    with ThreadPoolExecutor(1) as pool:
        asked: Future[list[str]] = pool.submit(through.tools)
        wait_until("a request waits", lambda: add_on.waiting(app.namespace, app.name) > 0)
        assert not asked.done()
        app.scale(1)
        assert asked.result(60) == ["tools__forecast"]

    calls: Any = {"through": through, "every": 0.01, "arguments": {"sleepMs": 300}}
    with ExitStack() as clients:
        with operator_away(operator):
            add_on.serve_routes(served=True)
            add_on.install(NEW)
            traffic = [clients.enter_context(Traffic(app, "tools__forecast", **calls)) for _ in range(6)]
            wait_until("three pods serve", lambda: len(app.pods()) == 3 and ready(app) == 3, 60)
            pods, made = app.lasting_pods(), scaled_object(app)
        wait_until("the app has moved", lambda: scalers(app) == NEW_KINDS, 90)
        assert scaled_object(app)["metadata"]["uid"] == made["metadata"]["uid"], "it was taken over"
        assert owner(made) == "HTTPScaledObject"
        assert owner(scaled_object(app)) == "FtlApp"
        assert app.lasting_pods() == pods

        with operator_away(operator):
            add_on.serve_routes(served=False)
        wait_until("the app has moved back", lambda: scalers(app) >= OLD_KINDS, 90)
        wait_until("the add-on scales it", lambda: owner(scaled_object(app)) == "HTTPScaledObject", 60)
        assert app.lasting_pods()
        answered = [len(client.answered) for client in traffic]
        wait_until(
            "every client goes on",
            lambda: all(
                len(client.answered) > count for client, count in zip(traffic, answered, strict=True)
            ),
        )
    for client in traffic:
        client.check()
    sleeps(app)


def ready(app: App) -> int:
    return app.deployment()["status"].get("readyReplicas", 0)


def scaled_object(app: App) -> Object:
    return get(app, "keda.sh/v1alpha1", "ScaledObject")


def owner(obj: Object) -> str:
    """The kind of an object's only owner."""
    (found,) = obj["metadata"]["ownerReferences"]
    return found["kind"]
