"""Compares whole objects with `tests/data/manifests`; rules that one case cannot show have tests here."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from ftl_operator.api import kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.errors import Reason
from ftl_operator.manifests.all import endpoint, manifests
from ftl_operator.manifests.spinapp import Release, pod_sources, spin_app
from ftl_operator.oci.reference import parse_reference
from ftl_operator.settings import Settings

DATA = Path(__file__).parents[1] / "data" / "manifests"
CASES = sorted(path.parent.name for path in DATA.glob("*/ftlapp.yaml"))
IMAGE = parse_reference(f"registry.acme.dev/ftl/agents/hello@sha256:{'0' * 64}")
WITHOUT_CILIUM = kinds.EVERY_API - {kinds.CILIUM_NETWORK_POLICY}
WITH_OLD_ADD_ON = WITHOUT_CILIUM - {kinds.INTERCEPTOR_ROUTE}
"""KEDA's HTTP add-on up to version 0.13."""
SERVED = {
    "everything": kinds.EVERY_API,
    "keda-http-ingress": WITH_OLD_ADD_ON,
    "keda-http-path": WITH_OLD_ADD_ON,
}
"""What the clusters of some cases serve."""
SETTINGS = Settings(operator_namespace="ftl-operator", publish_pull_secrets=("registry",))


def read(case, **spec):
    document = yaml.safe_load((DATA / case / "ftlapp.yaml").read_text())
    document["spec"] |= spec
    return FtlApp.parse(document)


def made(case, served=WITHOUT_CILIUM):
    issuer = ("https://login.acme.dev/keys",) if case == "everything" else ()
    sources = "5d41" if case == "everything" else ""
    return manifests(read(case), Release(IMAGE, "sha256:1f", sources, issuer), SETTINGS, served)


@pytest.mark.parametrize("case", CASES)
def test_golden(case, request):
    golden = DATA / case / "manifests.yaml"
    served = SERVED.get(case, WITHOUT_CILIUM)
    found = list(made(case, served).objects)
    if request.config.getoption("--bless"):
        golden.write_text(yaml.safe_dump_all(found, sort_keys=False, width=110))
    assert found == list(yaml.safe_load_all(golden.read_text()))


def test_the_spin_app_names_the_image_as_nodes_do():
    settings = Settings(publish_repository="registry.acme.dev/ftl", pull_repository="localhost:30500/ftl")
    found = manifests(read("smallest"), Release(IMAGE), settings)
    (spin_app,) = [item for item in found.objects if item["kind"] == "SpinApp"]
    assert spin_app["spec"]["image"] == f"localhost:30500/ftl/agents/hello@sha256:{'0' * 64}"


@pytest.mark.parametrize("case", CASES)
def test_the_same_inputs_make_the_same_manifests(case):
    assert made(case) == made(case)


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_owned_labelled_and_of_a_known_kind(case):
    app = read(case)
    for manifest in made(case).objects:
        metadata = manifest["metadata"]
        assert kinds.api_of(manifest) in kinds.OWNED
        assert metadata["namespace"] == app.metadata.namespace
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "ftl-operator"
        assert metadata["labels"]["app.kubernetes.io/instance"] == app.metadata.name
        assert [(owner["kind"], owner["uid"]) for owner in metadata["ownerReferences"]] == [
            ("FtlApp", app.metadata.uid)
        ]


@pytest.mark.parametrize("case", CASES)
def test_the_rules_of_spin_operators_webhooks(case):
    spec = next(manifest["spec"] for manifest in made(case).objects if manifest["kind"] == "SpinApp")
    assert spec["executor"]
    assert "@sha256:" in spec["image"]
    assert ("replicas" in spec) != spec["enableAutoscaling"]
    assert spec.get("replicas", 1) >= 1
    for probe in spec["checks"].values():
        assert isinstance(probe["httpGet"]["httpHeaders"], list)


@pytest.mark.parametrize(
    ("case", "api", "vital"),
    [
        ("everything", kinds.HTTP_ROUTE, True),
        ("everything", kinds.SERVICE_MONITOR, False),
        ("keda", kinds.SCALED_OBJECT, True),
    ],
)
def test_a_missing_api_is_named_and_its_object_left_out(case, api, vital):
    found = made(case, WITHOUT_CILIUM - {api})
    assert [(missing.api, missing.is_vital) for missing in found.missing] == [(api, vital)]
    assert found.missing[0].error().reason is Reason.API_MISSING
    assert api.kind in str(found.missing[0])
    assert [manifest for manifest in made(case).objects if manifest["kind"] != api.kind] == list(
        found.objects
    )


def test_without_the_add_on_its_newer_api_is_named():
    both = {kinds.HTTP_SCALED_OBJECT, kinds.INTERCEPTOR_ROUTE}
    (missing,) = made("keda-http", WITHOUT_CILIUM - both).missing
    assert (missing.api, missing.is_vital) == (kinds.INTERCEPTOR_ROUTE, True)


@pytest.mark.parametrize("absent", [kinds.INTERCEPTOR_ROUTE, kinds.SCALED_OBJECT])
def test_the_older_api_is_used_where_the_newer_is_not_whole(absent):
    found = made("keda-http", WITHOUT_CILIUM - {absent})
    kinds_made = {item["kind"] for item in found.objects}
    assert "HTTPScaledObject" in kinds_made
    assert not {"InterceptorRoute", "ScaledObject"} & kinds_made
    assert not found.missing


def test_the_newer_api_counts_and_scales_by_one_name():
    found = objects_of("keda-http")
    route, scaled = found["InterceptorRoute"], found["ScaledObject"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["interceptorRoute"] == route["metadata"]["name"]
    assert trigger["metadata"]["scalerAddress"] == SETTINGS.interceptor_scaler_address
    assert "HTTPScaledObject" not in found


def variables_of(app, settings=SETTINGS):
    spec = spin_app(app, Release(IMAGE), settings)["spec"]
    return {variable["name"]: variable for variable in spec["variables"]}


def test_no_secret_stands_in_a_spin_app():
    app = read("smallest", gateway={"secretRef": {"name": "hello-door"}})
    for settings, secret in (
        (SETTINGS, "hello-door"),
        (SETTINGS.model_copy(update={"gateway_secrets": True}), "hello-door"),
    ):
        variables = variables_of(app, settings)
        assert variables["gateway_sealing_key"]["valueFrom"] == {
            "secretKeyRef": {"name": secret, "key": "sealing-key"}
        }
        assert variables["gateway_probe_word"]["valueFrom"] == {
            "secretKeyRef": {"name": secret, "key": "probe-word"}
        }
    spec = spin_app(app, Release(IMAGE), SETTINGS)["spec"]
    headers = spec["checks"]["readiness"]["httpGet"]["httpHeaders"]
    assert headers == [{"name": "x-ftl-probe-once", "value": "true"}]
    # All that is written out is the app's uid, which is no secret.
    written = {variable["name"] for variable in spec["variables"] if "value" in variable}
    assert written <= {"gateway_app_uid"}


def test_prometheus_is_given_the_word_to_which_refusals_are_shown():
    telemetry = {"serviceMonitor": True}
    plain = objects_of("smallest", telemetry=telemetry)["ServiceMonitor"]["spec"]["endpoints"][0]
    assert "authorization" not in plain
    named = objects_of("smallest", telemetry=telemetry, gateway={"secretRef": {"name": "door"}})
    endpoint_of_named = named["ServiceMonitor"]["spec"]["endpoints"][0]
    assert endpoint_of_named["authorization"] == {"credentials": {"name": "door", "key": "probe-word"}}


def test_api_keys_reach_pods_by_reference_and_a_changed_secret_rolls_them():
    auth = {"apiKeys": {"secretRef": {"name": "keys", "key": "list"}}}
    app = read("smallest", access="private", auth=auth)
    assert variables_of(app)["gateway_api_keys"] == {
        "name": "gateway_api_keys",
        "valueFrom": {"secretKeyRef": {"name": "keys", "key": "list"}},
    }
    (source,) = pod_sources(app, SETTINGS)
    assert (source.kind, source.name, source.key) == ("Secret", "keys", "list")


LOGIN = {
    "users": {"login": {"users": {"secretRef": {"name": "people", "key": "list"}}}},
    "upstream": {
        "login": {
            "upstream": {
                "issuer": "https://id.acme.dev",
                "clientId": "ftl",
                "secretRef": {"name": "id", "key": "secret"},
            },
            "secretRef": {"name": "own"},
        },
        "allowedSubjects": ["ann"],
    },
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("users", {"gateway_login_keys": ("hello-login", "keys"), "gateway_login_users": ("people", "list")}),
        (
            "upstream",
            {"gateway_login_keys": ("own", "keys"), "gateway_login_upstream_secret": ("id", "secret")},
        ),
    ],
)
def test_a_logins_secrets_reach_pods_by_reference_and_changed_ones_roll_them(kind, expected):
    app = read("smallest", access="private", auth=LOGIN[kind])
    given = {name: item for name, item in variables_of(app).items() if "login" in name}
    assert given == {
        name: {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, (secret, key) in expected.items()
    }
    sources = {(source.name, source.key): source.field for source in pod_sources(app, SETTINGS)}
    assert set(sources) == set(expected.values())
    assert all(field.startswith("spec.auth.login.") for field in sources.values())


def test_the_paths_of_a_logins_metadata_reach_an_app_under_a_path():
    app = read(
        "smallest",
        access="private",
        auth=LOGIN["users"],
        route={"host": "t.acme.dev", "path": "/a", "gatewayRef": {"name": "g"}},
    )
    found = manifests(app, Release(IMAGE), SETTINGS)
    (route,) = [item for item in found.objects if item["kind"] == "HTTPRoute"]
    first, second = route["spec"]["rules"]
    assert [match["path"]["value"] for match in first["matches"]] == ["/a"]
    assert [match["path"]["value"] for match in second["matches"]] == [
        "/.well-known/oauth-protected-resource/a",
        "/.well-known/oauth-authorization-server/a",
        "/.well-known/openid-configuration/a",
    ]
    assert "filters" not in second, "the login compares these paths with its issuer"


def test_pods_reach_the_hosts_of_clients_and_of_the_provider():
    app = read("smallest", access="private", auth=LOGIN["upstream"])
    urls = ("https://claude.ai", "https://id.acme.dev:8443/token")
    found = manifests(app, Release(IMAGE, issuer_urls=urls), SETTINGS)
    (cilium,) = [item for item in found.objects if item["kind"] == "CiliumNetworkPolicy"]
    names = {
        rule["toFQDNs"][0]["matchName"]: rule["toPorts"][0]["ports"][0]["port"]
        for rule in cilium["spec"]["egress"]
        if "toFQDNs" in rule
    }
    assert names == {"claude.ai": "443", "id.acme.dev": "8443"}


def test_an_app_that_names_no_secret_has_the_operators_where_it_makes_some():
    app = read("smallest")
    assert not {"gateway_sealing_key", "gateway_probe_word"} & set(variables_of(app))
    variables = variables_of(app, SETTINGS.model_copy(update={"gateway_secrets": True}))
    assert variables["gateway_sealing_key"]["valueFrom"]["secretKeyRef"]["name"] == "hello-gateway"


def test_what_pods_read_at_their_start_is_known_by_key_and_field():
    assert [
        (source.kind, source.name, source.key) for source in pod_sources(read("everything"), SETTINGS)
    ] == [
        ("Secret", "weather", "api-key"),
        ("ConfigMap", "desk", "board"),
        ("Secret", "cache", "password"),
    ]
    assert next(pod_sources(read("everything"), SETTINGS)).field == "spec.tools[0].variables[1].valueFrom"


def test_the_endpoint_is_the_routes_or_the_services():
    assert endpoint(read("everything"), SETTINGS) == "https://tools.acme.dev/assistant/mcp"
    assert endpoint(read("smallest"), SETTINGS) == "http://hello.agents.svc/mcp"


def objects_of(case, settings=SETTINGS, served=WITHOUT_CILIUM, **spec):
    found = manifests(read(case, **spec), Release(IMAGE), settings, served).objects
    return {item["kind"]: item for item in found}


def known_hosts(found):
    """The hosts by which the interceptor knows an app, whichever API tells it."""
    if "HTTPScaledObject" in found:
        assert "InterceptorRoute" not in found
        return found["HTTPScaledObject"]["spec"]["hosts"]
    (rule,) = found["InterceptorRoute"]["spec"]["rules"]
    return rule["hosts"]


EITHER_ADD_ON = pytest.mark.parametrize(
    "served", [WITH_OLD_ADD_ON, WITHOUT_CILIUM], ids=["HTTPScaledObject", "InterceptorRoute"]
)


@EITHER_ADD_ON
def test_in_the_cluster_the_endpoint_is_one_that_wakes_the_app(served):
    """Its host is the name of a Service that leads to the interceptor, which knows the app by it."""
    url = urlsplit(endpoint(read("keda-http", route=None), SETTINGS))
    found = objects_of("keda-http", served=served, route=None)
    service = found["Service"]
    assert url.hostname == f"{service['metadata']['name']}.agents.svc"
    assert url.port == service["spec"]["ports"][0]["port"] == 8080
    assert url.hostname in known_hosts(found)
    assert url.geturl() in found["ConfigMap"]["data"]["mcp.json"]
    assert service["spec"]["externalName"] == "keda-add-ons-http-interceptor-proxy.keda.svc.cluster.local"


@EITHER_ADD_ON
def test_where_the_interceptor_is_is_a_setting(served):
    settings = Settings(
        interceptor_service="front",
        interceptor_namespace="edge",
        interceptor_port=80,
        cluster_domain="k8s.lan",
    )
    found = objects_of("keda-http-ingress", settings, served)
    assert found["Service"]["spec"]["externalName"] == "front.edge.svc.k8s.lan"
    assert found["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"] == {
        "name": "hello-keda-http",
        "port": {"number": 80},
    }
    assert "hello-keda-http.agents.svc.k8s.lan" in known_hosts(found)
    peers = found["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}} in peers
    (backend,) = objects_of("keda-http-path", settings)["HTTPRoute"]["spec"]["rules"][0]["backendRefs"]
    assert (backend["name"], backend["namespace"], backend["port"]) == ("front", "edge", 80)
    assert endpoint(read("keda-http", route=None), settings) == "http://hello-keda-http.agents.svc:80/mcp"


@EITHER_ADD_ON
def test_apps_that_share_a_host_by_path_are_told_apart_by_the_interceptor(served):
    found = objects_of("keda-http-path", served=served)
    (rule,) = found["HTTPRoute"]["spec"]["rules"]
    hosts = known_hosts(found)
    assert rule["filters"][0]["urlRewrite"]["hostname"] in hosts
    assert "tools.acme.dev" not in hosts


@pytest.mark.parametrize("case", ["keda-http-ingress", "keda-http-path"])
def test_a_suspended_app_fails_as_a_service_without_pods_does(case):
    found = objects_of(case, suspend=True)
    assert not {"HTTPScaledObject", "InterceptorRoute", "ScaledObject"} & set(found)
    route = (found.get("Ingress") or found["HTTPRoute"])["spec"]["rules"][0]
    assert [service["name"] for service in services_of(route)] == ["hello"]


def services_of(rule):
    return rule.get("backendRefs") or [path["backend"]["service"] for path in rule["http"]["paths"]]


def test_another_scaler_needs_no_interceptor():
    scaling = {"autoscaling": {"scaler": "keda", "maxReplicas": 3, "triggers": [{"type": "cron"}]}}
    found = objects_of("keda-http-ingress", runtime=scaling)
    assert "Service" not in found
    assert services_of(found["Ingress"]["spec"]["rules"][0]) == [{"name": "hello", "port": {"number": 80}}]
    assert len(found["NetworkPolicy"]["spec"]["ingress"][0]["from"]) == 2


def test_rendering_without_a_cluster_gives_no_owner_reference():
    document = yaml.safe_load((DATA / "smallest" / "ftlapp.yaml").read_text())
    del document["metadata"]["uid"]
    for manifest in manifests(FtlApp.parse(document), Release(IMAGE), SETTINGS).objects:
        assert "ownerReferences" not in manifest["metadata"]
