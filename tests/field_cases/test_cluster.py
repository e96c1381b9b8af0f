"""Field cases about Kubernetes objects, by their numbers."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.controller.telemetry.health import HealthServer
from ftl_operator.manifests.all import manifests
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import parse_reference
from ftl_operator.settings import Settings
from tests.support.specs import ftlapp

RELEASE = Release(parse_reference(f"registry.acme.dev/ftl/agents/case@sha256:{'0' * 64}"))
WITHOUT_CILIUM = kinds.EVERY_API - {kinds.CILIUM_NETWORK_POLICY}
ROUTE = {"gatewayRef": {"name": "public"}, "host": "tools.acme.dev"}
PUBLIC = {"access": "public", "auth": None}
KEDA_HTTP = {"autoscaling": {"scaler": "keda-http", "minReplicas": 0, "maxReplicas": 3}}
METADATA = "/.well-known/oauth-protected-resource"


def made(spec, kind, served=WITHOUT_CILIUM, **metadata):
    """The one object of a kind."""
    app = FtlApp.parse(ftlapp(spec, metadata))
    (found,) = [item for item in manifests(app, RELEASE, Settings(), served).objects if item["kind"] == kind]
    return found


def chosen(routes, path):
    """The backend of HTTPRoutes to which a path is routed, and the host and the path that it sees.

    As Gateway API says, the longest prefix of whole segments decides. None if nothing fits.
    """
    fitting = [
        (len(match["path"]["value"]), match["path"]["value"], rule)
        for route in routes
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if f"{path}/".startswith(f"{match['path']['value'].rstrip('/')}/")
    ]
    if not fitting:
        return None
    _, prefix, rule = max(fitting, key=lambda item: item[0])
    (rewrite,) = [item["urlRewrite"] for item in rule.get("filters", [])] or [{}]
    if "path" in rewrite:
        path = "/" + path.removeprefix(prefix).lstrip("/")
    return rule["backendRefs"][0]["name"], rewrite.get("hostname", ""), path


# --- 7: the metadata of a private app under a path ---


@pytest.mark.parametrize("suffix", ["", "/mcp", "/mcp/x/weather", "/mcp/readonly"])
@pytest.mark.parametrize("path", ["/assistant", "/team/assistant"])
def test_7_metadata_lie_beside_the_path_and_reach_the_app_as_they_are(path, suffix):
    route = made({"route": {**ROUTE, "path": path}}, "HTTPRoute")
    assert chosen([route], f"{METADATA}{path}{suffix}") == ("case", "", f"{METADATA}{path}{suffix}")
    assert chosen([route], f"{path}/mcp") == ("case", "", "/mcp")
    assert chosen([route], METADATA) is None


def test_7_several_apps_share_a_host():
    first = made({"route": {**ROUTE, "path": "/assistant"}}, "HTTPRoute", name="first")
    second = made({"route": {**ROUTE, "path": "/assistant2"}}, "HTTPRoute", name="second")
    whole = made({"route": ROUTE}, "HTTPRoute", name="whole")
    routes = [first, second, whole]
    assert chosen(routes, f"{METADATA}/assistant/mcp")[0] == "first"
    assert chosen(routes, f"{METADATA}/assistant2/mcp")[0] == "second"
    assert chosen(routes, f"{METADATA}/mcp")[0] == "whole"
    assert chosen(routes, METADATA)[0] == "whole"


def test_7_through_the_interceptor_the_host_is_the_apps_and_the_path_stays():
    route = made({"route": {**ROUTE, "path": "/assistant"}, "runtime": KEDA_HTTP}, "HTTPRoute")
    backend, host, path = chosen([route], f"{METADATA}/assistant/mcp")
    assert (backend, path) == ("keda-add-ons-http-interceptor-proxy", f"{METADATA}/assistant/mcp")
    counted = made({"route": {**ROUTE, "path": "/assistant"}, "runtime": KEDA_HTTP}, "InterceptorRoute")
    assert host in counted["spec"]["rules"][0]["hosts"]


def test_7_a_public_app_has_no_metadata_to_find():
    route = made({**PUBLIC, "route": {**ROUTE, "path": "/assistant"}}, "HTTPRoute")
    assert chosen([route], f"{METADATA}/assistant/mcp") is None


# --- 8: addresses of both families ---


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("address", ["::", "0.0.0.0", "127.0.0.1", "localhost", "::1"])
def test_8_the_operator_listens_at_addresses_of_every_family(address):
    if address == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    server = HealthServer((address, 0), CollectorRegistry(), live=str, ready=str)
    hosts = {"::": ["127.0.0.1", *(["[::1]"] if has_ipv6() else [])], "::1": ["[::1]"]}
    try:
        for host in hosts.get(address, ["127.0.0.1"]):
            with urllib.request.urlopen(f"http://{host}:{server.port}/healthz", timeout=60) as answer:
                assert answer.read() == b"ok"
    finally:
        server.stop()


def test_8_where_the_kernel_has_no_ipv6_every_address_is_ipv4(monkeypatch):
    create = socket.create_server

    def without_ipv6(address, *, family=socket.AF_INET, **options):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return create(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    server = HealthServer(("::", 0), CollectorRegistry(), live=str, ready=str)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=60) as answer:
            assert answer.read() == b"ok"
    finally:
        server.stop()


def test_8_by_default_the_operator_listens_at_both():
    assert Settings().metrics_address == "::"


# --- 9: DNS of OpenShift ---


def test_9_pods_may_ask_dns_at_both_ports():
    policy = made({}, "NetworkPolicy")
    ports = policy["spec"]["egress"][0]["ports"]
    assert {(port["protocol"], port["port"]) for port in ports} == {
        (protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)
    }


def test_9_with_cilium_too():
    rule = made({}, "CiliumNetworkPolicy", kinds.EVERY_API)["spec"]["egress"][0]
    assert [port["port"] for port in rule["toPorts"][0]["ports"]] == ["53", "5353"]
    namespaces = {peer["matchLabels"]["k8s:io.kubernetes.pod.namespace"] for peer in rule["toEndpoints"]}
    assert namespaces == {"kube-system", "openshift-dns"}


# --- 10: meshes ---


def test_10_a_meshs_ports_can_be_opened_in_both_directions():
    control = {"namespaceLabels": {"kubernetes.io/metadata.name": "linkerd"}}
    network = {
        "allowFrom": [
            {"namespaceLabels": {"team": "agents"}, "ports": [80, 4143]},
            {"podLabels": {"role": "agent"}},
        ],
        "allowTo": [{"to": control, "ports": [8080, 8086, 8090]}],
    }
    policy = made({"network": network}, "NetworkPolicy")["spec"]
    plain, meshed = policy["ingress"]
    assert [port["port"] for port in meshed["ports"]] == [80, 4143]
    assert meshed["from"] == [{"namespaceSelector": {"matchLabels": {"team": "agents"}}}]
    assert [port["port"] for port in plain["ports"]] == [80]
    assert {"podSelector": {"matchLabels": {"role": "agent"}}} in plain["from"]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}} in plain["from"]
    assert [port["port"] for port in policy["egress"][-1]["ports"]] == [8080, 8086, 8090]


def test_10_where_every_source_names_ports_the_operator_still_gets_in():
    network = {"allowFrom": [{"namespaceLabels": {"team": "agents"}, "ports": [4143]}]}
    plain, meshed = made({"network": network}, "NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in plain["ports"]] == [80]
    assert len(plain["from"]) == 1
    assert [port["port"] for port in meshed["ports"]] == [4143]


# --- 11: long calls behind a proxy ---


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 35),
        ({"gateway": {"timeoutSeconds": 120}}, 125),
        ({"tools": [{"name": "weather", "image": "ghcr.io/acme/weather:1", "timeoutSeconds": 200}]}, 205),
        ({"gateway": {"timeoutSeconds": 120}, "runtime": KEDA_HTTP}, 185),
    ],
)
@pytest.mark.parametrize("path", ["/", "/assistant"])
def test_11_the_proxy_waits_longer_than_the_gateway(spec, seconds, path):
    route = made({**spec, "route": {**ROUTE, "path": path}}, "HTTPRoute")
    assert {rule["timeouts"]["request"] for rule in route["spec"]["rules"]} == {f"{seconds}s"}
