"""Attacks by an app's author on other namespaces and on the cluster's operators."""

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.names import Owner
from ftl_operator.manifests.all import manifests
from ftl_operator.manifests.network import interceptor_hosts
from ftl_operator.manifests.spinapp import Release
from ftl_operator.oci.reference import parse_reference
from ftl_operator.settings import Settings
from tests.attacks.table import Attack, check_refused, check_twin
from tests.support.specs import ftlapp

RELEASE = Release(parse_reference(f"registry.acme.dev/ftl/agents/case@sha256:{'0' * 64}"))
SETTINGS = Settings(
    cluster_domain="k8s.lan",
    route_hosts="agents=tools.acme.dev,agents=*.agents.acme.dev,team-*=*.{namespace}.teams.acme.dev,team-*=apps-{namespace}.acme.dev",
)
"""Of a cluster with a domain of its own, where every namespace has hosts of its own."""


def hostnames(route, settings=SETTINGS, namespace="agents"):
    """The hosts that the HTTPRoute of an app claims."""
    document = ftlapp({"route": {"gatewayRef": {"name": "public"}, **route}}, {"namespace": namespace})
    (made,) = [
        item
        for item in manifests(FtlApp.parse(document), RELEASE, settings).objects
        if item["kind"] == "HTTPRoute"
    ]
    return made["spec"]["hostnames"]


def anywhere(host):
    return hostnames({"host": host}, Settings(cluster_domain="k8s.lan"))


def in_agents(host):
    return hostnames({"host": host})


def publishes_to(template):
    """Where a cluster with tenants publishes their apps."""
    listed = {"allowed_registries": ("ghcr.io",), "allowed_issuers": ("login.acme.dev",)}
    return Settings(
        tenancy="shared", route_hosts="agents=tools.acme.dev", publish_repository=template, **listed
    ).default_repository("a-b", "c")


def from_namespace(namespace):
    return hostnames({"host": "tools.acme.dev"}, namespace=namespace)


def from_team(namespace):
    return hostnames({"host": "a.team-red.teams.acme.dev"}, namespace=namespace)


def in_team(host):
    return hostnames({"host": host}, namespace="team-red")


def under(path):
    return hostnames({"host": "tools.acme.dev", "path": path})


def at_the_interceptor(owner):
    """Whether the interceptor would route requests for `acme.dev`, somebody else's host, to this app."""
    return "acme.dev" in interceptor_hosts(Owner(*owner), None, Settings())


def spin_app(runtime):
    document = ftlapp({"runtime": runtime}, {"uid": "3f0e"})
    (made,) = [
        item
        for item in manifests(FtlApp.parse(document), RELEASE, SETTINGS).objects
        if item["kind"] == "SpinApp"
    ]
    return made["spec"]


HOSTS = {
    "an interceptor's Service": "victim-app-keda-http.victim-ns.svc",
    "the same without svc": "victim-app-keda-http.victim-ns",
    "the same with the cluster's domain": "victim-app-keda-http.victim-ns.svc.k8s.lan",
    "the same with the usual domain": "victim-app-keda-http.victim-ns.svc.cluster.local",
    "an app's Service": "victim-app.victim-ns.svc",
    "a pod": "10-1-2-3.victim-ns.pod.cluster.local",
    "the cluster's domain itself": "k8s.lan",
    "the API server": "kubernetes.default.svc",
    "a bare name": "victim-app",
    "a name of Spin's": "weather.spin.internal",
    "an address": "10.1.2.3",
    "an IPv6 address": "fd00::1",
    "a wildcard": "*.acme.dev",
    "capitals": "Victim-App.Victim-NS.SVC",
    "a dot at the end": "victim-app.victim-ns.svc.",
    "a line break": "tools.acme.dev\n.svc",
    "a port": "tools.acme.dev:80",
    "international letters": "straße.test",
}
PATHS = {
    "up": "/../x",
    "up at the end": "/assistant/..",
    "up in between": "/a/../b",
    "here": "/./x",
    "an empty segment": "//x",
    "two slashes in between": "/a//b",
    "an encoded dot": "/%2e%2e/x",
    "an encoded slash": "/a%2fb",
    "a query": "/a?b",
    "a fragment": "/a#b",
    "no slash first": "a",
    "a parameter": "/a;b",
    "a backslash": "/a\\..\\b",
    "a line break": "/a\n",
    "well-known names": "/.well-known",
    "below well-known names": "/.well-known/oauth-protected-resource",
}
LABELS = {
    "SpinKube's name of the app": "core.spinkube.dev/app-name",
    "SpinKube's state": "core.spinkube.dev/app.case.status",
    "SpinKube's in capitals": "Core.SpinKube.dev/app-name",
    "below SpinKube's domain": "x.core.spinkube.dev/y",
    "the operator's": "ftl.tools/sources",
    "who manages it": "app.kubernetes.io/managed-by",
    "which app it is": "app.kubernetes.io/instance",
}
REFUSED_LABEL = "operators' own"

ROWS = [
    *(
        Attack(
            f"M3 route.host is {name}",
            anywhere,
            host,
            "route.host",
            "tools.acme.dev",
            ["tools.acme.dev"].__eq__,
        )
        for name, host in HOSTS.items()
    ),
    *(
        Attack(
            f"M3 a namespace whose name makes no host: {name}",
            from_team,
            namespace,
            "do not allow",
            "team-red",
        )
        for name, namespace in (("too long", f"team-{'x' * 58}"), ("another one", "team-blue"))
    ),
    *(
        Attack(
            f"M1 two namespaces in one repository: {attack}",
            publishes_to,
            attack,
            "two namespaces",
            twin,
            bool,
        )
        for attack, twin in (
            ("docker.io/acme/{namespace}-{name}", "docker.io/acme/{namespace}_{name}"),
            ("docker.io/acme/{name}.{namespace}", "docker.io/acme/{name}/{namespace}"),
            ("docker.io/acme/x_{namespace}{name}", "docker.io/acme/x-{namespace}/{namespace}-{name}"),
            ("docker.io/{name}/acme-{namespace}{name}", "docker.io/acme"),
        )
    ),
    Attack(
        "M3 another namespace's host",
        lambda host: hostnames({"host": host}),
        "tools.b.dev",
        "do not allow",
        "tools.acme.dev",
    ),
    Attack(
        "M3 a host below another namespace's",
        lambda host: hostnames({"host": host}),
        "x.billing.acme.dev",
        "do not allow",
        "x.agents.acme.dev",
    ),
    Attack(
        "M3 another team's host",
        in_team,
        "x.team-blue.teams.acme.dev",
        "do not allow",
        "x.team-red.teams.acme.dev",
    ),
    Attack(
        "M3 the team's domain itself",
        in_team,
        "team-red.teams.acme.dev",
        "do not allow",
        "a.b.team-red.teams.acme.dev",
    ),
    Attack(
        "M3 a namespace that no list names",
        lambda namespace: hostnames({"host": "tools.acme.dev"}, namespace=namespace),
        "steam-red",
        "do not allow",
        "agents",
    ),
    Attack(
        "M3 an app in a namespace named as a public domain",
        at_the_interceptor,
        ("dev", "acme"),
        lambda claimed: not claimed,
        ("agents", "hello"),
    ),
    *(
        Attack(f"route.path is {name}", under, path, "route.path", "/v1.2/.hidden/~bob/a..b")
        for name, path in PATHS.items()
    ),
    *(
        Attack(
            f"{field} has {name}",
            spin_app,
            {field: {key: "victim"}},
            REFUSED_LABEL,
            {field: {"team": "red", "app.kubernetes.io/version": "1", "spinkube.dev.acme.dev/x": "y"}},
            lambda spec, field=field: spec[field]["team"] == "red",
        )
        for field in ("podLabels", "podAnnotations", "serviceAnnotations", "deploymentAnnotations")
        for name, key in LABELS.items()
    ),
    Attack(
        "route.annotations has the operator's",
        lambda key: hostnames({"host": "tools.acme.dev", "annotations": {key: "x"}}),
        "ftl.tools/applied",
        REFUSED_LABEL,
        "cert-manager.io/cluster-issuer",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row):
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row):
    check_twin(row)
