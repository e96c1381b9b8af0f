"""Scale to zero by requests, through the real interceptor of KEDA's HTTP add-on.

The test scales in the place of KEDA, by the same number of waiting requests.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from e2e.cluster.api import Object
from e2e.cluster.control_plane import Cluster
from e2e.cluster.interceptor import NAMESPACE, PORT, SERVICE, Interceptor
from e2e.cluster.operator import CHART, NAME, Operator
from e2e.support.apps import App, Mcp, tool
from e2e.support.process import python, wait_until

Push = Callable[..., str]
Answer = TypeVar("Answer")
SCALING = {"minReplicas": 0, "maxReplicas": 5, "scaler": "keda-http", "concurrency": 10}
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
def interceptor(cluster: Cluster) -> Iterator[Interceptor]:
    found = Interceptor(cluster).install()
    yield found
    found.remove()


@pytest.fixture
def scaled_app(cluster: Cluster, namespace: str, push: Push) -> Callable[..., App]:
    """Make an app that the add-on scales, and take its pods away."""

    def make(name: str = "tools", **spec: object) -> App:
        runtime = {"autoscaling": SCALING, "checks": {"readiness": {"periodSeconds": 1}}}
        weather = tool(name, push(name, "1", "forecast"))
        app = App(cluster, namespace, weather, name=name, runtime=runtime, **spec)
        app.apply().wait()
        app.scale(0)
        app.wait(reason="ScaledToZero")
        wait_until("no pod is left", lambda: not app.pods(), 60)
        return app

    return make


def woken(interceptor: Interceptor, app: App, ask: Callable[[], Answer]) -> Answer:
    """What a request is answered that finds no pod: it waits, it is seen to wait, and then there is one."""
    with ThreadPoolExecutor(1) as pool:
        asked: Future[Answer] = pool.submit(ask)

        def held() -> bool:
            assert not asked.done(), f"it was not held: {asked.result()}"
            return interceptor.waiting(app.namespace, app.name) > 0

        wait_until(f"a request for {app.name} waits", held)
        assert not app.pods()
        app.scale(1)
        return asked.result(60)


def get(app: App, version: str, kind: str, name: str = "") -> Object:
    return app.cluster.api.get(version, kind, name or app.name, app.namespace)


def resolved(cluster: Cluster, name: str) -> str:
    return cluster.in_cluster(*python("-c", f"import socket; print(socket.gethostbyname('{name}'))")).strip()


def test_the_first_request_at_an_ingress_wakes_the_app(
    cluster: Cluster, operator: Operator, interceptor: Interceptor, scaled_app: Callable[..., App]
) -> None:
    since = operator.mark()
    app = scaled_app(
        route={"host": "tools.e2e.test", "ingressClassName": "nginx"},
        network={"allowFrom": [{"namespaceLabels": {"team": "agents"}}]},
    )
    (path,) = get(app, "networking.k8s.io/v1", "Ingress")["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["port"]["number"] == PORT
    assert resolved(cluster, f"{backend['name']}.{app.namespace}.svc") == urlsplit(interceptor.url).hostname
    (rule,) = get(app, "networking.k8s.io/v1", "NetworkPolicy")["spec"]["ingress"]
    admitted = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]]
    assert {"kubernetes.io/metadata.name": NAMESPACE} in admitted

    # An ingress controller connects to where the name leads, and passes the client's Host on.
    through = Mcp(interceptor.url, host="tools.e2e.test")
    assert woken(interceptor, app, through.tools) == ["tools__forecast"], interceptor.log()
    assert through.call("tools__forecast", city="Rome")["arguments"] == {"city": "Rome"}
    assert not operator.refused(since)


def test_a_client_in_the_cluster_wakes_the_app_by_the_url_of_its_status(
    cluster: Cluster, interceptor: Interceptor, scaled_app: Callable[..., App]
) -> None:
    app = scaled_app()
    url = app.status()["url"]
    configuration = get(app, "v1", "ConfigMap", f"{app.name}-mcp-client")["data"]["mcp.json"]
    assert json.loads(configuration)["mcpServers"][app.name]["url"] == url
    told = woken(interceptor, app, lambda: cluster.in_cluster(*python("-c", CLIENT, url)))
    assert told.strip() == "['tools__forecast']", interceptor.log()


def test_the_charts_reference_grant_is_accepted_and_names_the_interceptor(
    cluster: Cluster, interceptor: Interceptor, namespace: str
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
    cluster: Cluster, interceptor: Interceptor, scaled_app: Callable[..., App]
) -> None:
    for name in ("weather", "units"):
        route = {"host": "shared.e2e.test", "path": f"/{name}", "gatewayRef": {"name": "public"}}
        # Hosts that are refused unless they are named; the one that the route changes to is.
        app = scaled_app(name, route=route, gateway={"allowedHosts": ["localhost"]})
        (rule,) = get(app, "gateway.networking.k8s.io/v1", "HTTPRoute")["spec"]["rules"]
        (backend,) = rule["backendRefs"]
        assert (backend["name"], backend["namespace"], backend["port"]) == (SERVICE, NAMESPACE, PORT)
        # A Gateway's implementation takes the path off and changes the host.
        rewrite = rule["filters"][0]["urlRewrite"]
        assert rewrite["path"]["replacePrefixMatch"] == "/"
        through = Mcp(interceptor.url, host=rewrite["hostname"])
        assert woken(interceptor, app, through.tools) == [f"{name}__forecast"], interceptor.log()


def test_another_scaler_takes_the_interceptor_out_again(
    interceptor: Interceptor, scaled_app: Callable[..., App]
) -> None:
    app = scaled_app(route={"host": "tools.e2e.test", "ingressClassName": "nginx"})
    assert f"Service/{app.name}-keda-http" in app.owned()
    app.spec["runtime"] = {"checks": {"readiness": {"periodSeconds": 1}}}
    app.apply()
    wait_until(
        "what only the add-on needed is deleted",
        lambda: not {f"Service/{app.name}-keda-http", f"HTTPScaledObject/{app.name}"} & app.owned(),
        60,
    )
    app.wait()
    (path,) = get(app, "networking.k8s.io/v1", "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": app.name, "port": {"number": 80}}
    assert app.mcp.tools() == ["tools__forecast"]
