"""The chart as the real helm renders it."""

import json
import subprocess

import pytest
import yaml

from ftl_operator.cluster.rbac import PERMISSIONS
from ftl_operator.settings import PREFIX, RouteHosts, Settings, Tenancy
from tests.chart.helm import ALL_VALUES, CHART, ROOT, helm, template, the, values

pytestmark = pytest.mark.needs("helm")


@pytest.fixture
def home(tmp_path):
    return tmp_path


def environment(objects):
    (container,) = the(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def kinds(objects):
    return sorted(item["kind"] for item in objects if item["kind"] not in ("Pod", "ServiceAccount"))


# --- values ---


@pytest.mark.parametrize("arguments", [(), ("--values", ALL_VALUES)], ids=["defaults", "every value"])
def test_lint_is_strict_and_silent(home, arguments):
    done = helm("lint", "--strict", "--kube-version", "1.34.0", CHART, *arguments, home=home)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout + done.stderr


def test_the_example_sets_every_value():
    def paths(tree, path=()):
        for key, value in tree.items():
            here = (*path, key)
            yield here
            if isinstance(value, dict):
                yield from paths(value, here)

    every = set(paths(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert every - set(paths(yaml.safe_load(ALL_VALUES.read_text()))) == set()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replicas=2", "replicas"),
        ("image.name=x", "name"),
        ("metrics.rules.enable=true", "enable"),
        ("registry.persistence.sise=1Gi", "sise"),
        ("workers=0", "workers"),
        ("workers=many", "workers"),
        ("logLevel=LOUD", "logLevel"),
        ("image.digest=latest", "digest"),
        ("namespaces=agents", "namespaces"),
        ("allowedRegistries=null", None),
        ("resources.request.cpu=1", "request"),
        ("podSecurityContext.runAsRoot=true", "runAsRoot"),
        ("topologySpreadConstraints[0].maxSkew=1", "topologyKey"),
        ("env[0].valuefrom=x", "valuefrom"),
    ],
)
def test_the_schema_refuses_what_is_no_value(home, setting, said):
    done = helm("lint", "--kube-version", "1.34.0", CHART, "--set", setting, home=home)
    assert (done.returncode == 0) == (said is None), done.stdout
    assert said is None or said in done.stdout


def test_an_empty_list_of_allowed_registries_is_refused_for_it_would_allow_every_one(home):
    done = helm("lint", "--kube-version", "1.34.0", CHART, "--set-json", "allowedRegistries=[]", home=home)
    assert done.returncode != 0
    assert "allowedRegistries" in done.stdout


def test_every_level_of_the_schema_is_closed():
    def open_levels(node, path=""):
        if isinstance(node, dict):
            if "properties" in node and node.get("additionalProperties") is not False:
                yield path
            for key, value in node.items():
                yield from open_levels(value, f"{path}/{key}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    assert list(open_levels(schema)) == []


def test_as_a_subchart_helms_own_values_pass(home):
    parent = home / "parent"
    parent.mkdir()
    dependency = {"name": "ftl-operator", "version": "0.1.0", "repository": f"file://{CHART}"}
    dependency["condition"] = "ftl-operator.enabled"
    chart = {"apiVersion": "v2", "name": "parent", "version": "0.1.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart))
    values = {"global": {"team": "platform"}, "ftl-operator": {"enabled": True, "workers": 2}}
    (parent / "values.yaml").write_text(yaml.safe_dump(values))
    assert helm("dependency", "build", parent, home=home).returncode == 0
    done = helm("template", "release", parent, "--kube-version", "1.34.0", home=home)
    assert done.returncode == 0, done.stderr


# --- the CRD ---


def test_the_crd_is_the_generated_one_and_outlives_the_release(home):
    crd = the(values(home), "CustomResourceDefinition", "ftlapps.ftl.tools")
    assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert crd["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
    assert crd == yaml.safe_load((ROOT / "crds" / "ftlapps.yaml").read_text())


def test_the_crd_can_be_left_out(home):
    assert "CustomResourceDefinition" not in kinds(values(home, "crds.enabled=false"))


# --- permissions ---


def rules_of(*roles):
    return sorted(
        (group, resource, tuple(rule["verbs"]))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


def wanted(*where):
    return sorted((item.group, item.resource, item.verbs) for item in PERMISSIONS if item.where in where)


def test_for_the_cluster_the_roles_are_exactly_the_permissions(home):
    objects = values(home)
    assert rules_of(the(objects, "ClusterRole")) == wanted("apps", "cluster", "logs")
    assert rules_of(the(objects, "Role", "ftl-operator-leader")) == wanted("own")
    assert [item["metadata"]["name"] for item in objects if item["kind"] == "Role"] == ["ftl-operator-leader"]
    for binding in ("ClusterRoleBinding", "RoleBinding"):
        (bound,) = [item for item in objects if item["kind"] == binding]
        assert bound["subjects"] == [
            {"kind": "ServiceAccount", "name": "ftl-operator", "namespace": "ftl-system"}
        ]


def test_for_namespaces_there_is_a_role_in_each_and_none_for_the_cluster(home):
    objects = values(home, "namespaces={agents,billing}", "rbac.aggregate=false")
    assert [item for item in objects if item["kind"].startswith("ClusterRole")] == []
    roles = [item for item in objects if item["kind"] == "Role"]
    served = {
        item["metadata"]["namespace"]: item for item in roles if item["metadata"]["name"] == "ftl-operator"
    }
    assert sorted(served) == ["agents", "billing"]
    for role in served.values():
        assert rules_of(role) == wanted("apps", "logs")
    assert rules_of(the(objects, "Role", "ftl-operator-leader")) == wanted("own")
    bindings = [item for item in objects if item["kind"] == "RoleBinding"]
    assert sorted(item["metadata"]["namespace"] for item in bindings) == ["agents", "billing", "ftl-system"]
    assert environment(objects)["FTL_NAMESPACES"] == "agents,billing"


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        (("gatewaySecrets.create=true",), "secrets"),
        (("login.createSecrets=true",), "secrets"),
        (("gatewaySecrets.create=true", "login.createSecrets=true"), "secrets"),
        (("executors.create=shim",), "executors"),
        (("executors.create=container", "executors.image=r.dev/spin:4.1"), "executors"),
    ],
)
def test_what_the_operator_makes_on_request_takes_its_right_and_no_other(home, setting, where):
    assert rules_of(the(values(home, *setting), "ClusterRole")) == wanted("apps", "cluster", "logs", where)


def test_without_reading_logs_there_is_no_right_to(home):
    objects = values(home, "podLogs.read=false")
    assert rules_of(the(objects, "ClusterRole")) == wanted("apps", "cluster")
    assert environment(objects)["FTL_READ_POD_LOGS"] == "false"


def test_rbac_can_be_left_to_others(home):
    left = kinds(values(home, "rbac.create=false", "rbac.aggregate=false"))
    assert [kind for kind in left if "Role" in kind] == []


def test_the_clusters_own_roles_include_ftlapps(home):
    objects = values(home)
    view, edit = (
        the(objects, "ClusterRole", "ftl-operator-view"),
        the(objects, "ClusterRole", "ftl-operator-edit"),
    )
    aggregated = "rbac.authorization.k8s.io/aggregate-to-"
    assert [
        name for name in ("view", "edit", "admin") if f"{aggregated}{name}" in view["metadata"]["labels"]
    ] == [
        "view",
        "edit",
        "admin",
    ]
    assert f"{aggregated}view" not in edit["metadata"]["labels"]
    assert {
        resource for role in (view, edit) for rule in role["rules"] for resource in rule["resources"]
    } == {"ftlapps"}


# --- the operator ---


@pytest.mark.parametrize("arguments", [(), ("--values", ALL_VALUES)], ids=["defaults", "every value"])
def test_every_variable_is_a_setting_and_the_settings_are_usable(home, arguments):
    found = environment(template(home, *arguments))
    ours = {name: value for name, value in found.items() if name.startswith(PREFIX)}
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(ours) - known == set()
    assert Settings.from_env({name: value for name, value in ours.items() if isinstance(value, str)})


def test_a_template_for_repositories_gets_through_as_it_is(home):
    value = "publish.repository=docker.io/acme/{namespace}_{name}"
    found = environment(template(home, "--set-string", value))
    settings = Settings.from_env({name: text for name, text in found.items() if isinstance(text, str)})
    assert str(settings.default_repository("agents", "tools")) == "docker.io/acme/agents_tools"


def test_values_become_settings(home):
    objects = template(home, "--values", ALL_VALUES)
    found = environment(objects)
    settings = Settings.from_env({name: value for name, value in found.items() if isinstance(value, str)})
    assert settings.namespaces == ("agents", "billing")
    assert settings.allowed_registries == ("ghcr.io", "*.example.com")
    assert settings.registry_redirects == ("*.storage.example.com",)
    assert settings.tenancy is Tenancy.SHARED
    assert settings.route_hosts == (
        RouteHosts("agents", "tools.example.com"),
        RouteHosts("team-*", "*.{namespace}.example.com"),
    )
    assert settings.publish_repository == "ftl-operator-registry.ftl-system.svc:5000/apps"
    assert settings.pull_repository == "localhost:30999/apps"
    assert settings.plain_http_registries == (
        "registry.dev.svc:5000",
        "ftl-operator-registry.ftl-system.svc:5000",
    )
    assert settings.cache_max_bytes == 4294967296
    interceptor = (settings.interceptor_service, settings.interceptor_namespace, settings.interceptor_port)
    assert interceptor == ("interceptor", "scaling", 80)
    assert settings.interceptor_scaler_address == "scaler.scaling.svc.k8s.example.com:9191"
    assert settings.cluster_domain == "k8s.example.com"
    assert settings.history_limit == 10
    assert settings.gateway_secrets
    assert found["NO_PROXY"].startswith(".example.com,.svc,")
    assert str(settings.docker_config) == "/etc/ftl/docker/config.json"
    assert str(settings.ca_bundle) == "/etc/ftl/ca/ca.crt"


@pytest.mark.parametrize("arguments", [(), ("--values", ALL_VALUES)], ids=["defaults", "every value"])
def test_every_pod_is_confined(home, arguments):
    for item in template(home, *arguments):
        spec = item["spec"]["template"]["spec"] if item["kind"] == "Deployment" else item.get("spec")
        if item["kind"] not in ("Deployment", "Pod"):
            continue
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def pods_of(objects):
    """The pods of the chart by name: the operator's, the registry's, the test's."""
    return {
        item["metadata"]["name"]: item["spec"]["template"] if item["kind"] == "Deployment" else item
        for item in objects
        if item["kind"] in ("Deployment", "Pod")
    }


def test_every_pod_is_pulled_and_placed_as_the_values_say(home):
    found = pods_of(template(home, "--values", ALL_VALUES))
    assert set(found) == {"ftl-operator", "ftl-operator-registry", "ftl-operator-test"}
    for pod in found.values():
        assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}]
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert [taint["key"] for taint in pod["spec"]["tolerations"]] == ["dedicated"]
        assert pod["spec"]["securityContext"]["runAsUser"] == 1000


def test_openshift_may_choose_the_ids(home):
    ids = ("runAsUser", "runAsGroup", "fsGroup")
    found = pods_of(values(home, *(f"podSecurityContext.{name}=null" for name in ids)))
    for pod in found.values():
        kept = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert pod["spec"]["securityContext"] == kept


def test_replicas_are_spread_by_their_own_labels(home):
    deployment = the(template(home, "--values", ALL_VALUES), "Deployment")["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["labelSelector"] == deployment["selector"]
    chosen = "topologySpreadConstraints[0]."
    settings = (
        "maxSkew=1",
        "topologyKey=zone",
        "whenUnsatisfiable=ScheduleAnyway",
        "labelSelector.matchLabels.a=b",
    )
    own = the(values(home, *(chosen + setting for setting in settings)), "Deployment")["spec"]
    (spread,) = own["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == {"matchLabels": {"a": "b"}}


def test_common_labels_are_on_everything_and_in_no_selector(home):
    objects = template(home, "--values", ALL_VALUES)
    for item in objects:
        assert item["metadata"]["labels"]["cost-centre"] == "4711", item["kind"]
    for pod in pods_of(objects).values():
        assert pod["metadata"]["labels"]["cost-centre"] == "4711"
    assert "cost-centre" not in the(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert "cost-centre" not in the(objects, "Service")["spec"]["selector"]


@pytest.mark.parametrize("arguments", [(), ("--values", ALL_VALUES)], ids=["defaults", "every value"])
def test_what_is_written_to_and_mounted_has_a_volume(home, arguments):
    spec = the(template(home, *arguments), "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    writable = {m["mountPath"] for m in container["volumeMounts"] if "emptyDir" in volumes[m["name"]]}
    assert writable == {"/cache", "/tmp"}
    assert all(m.get("readOnly") for m in container["volumeMounts"] if m["mountPath"] not in writable)


def test_services_and_policies_select_the_operators_pods(home):
    objects = template(home, "--values", ALL_VALUES)
    deployment = the(objects, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [
        deployment["selector"]["matchLabels"],
        the(objects, "Service")["spec"]["selector"],
        the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        the(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    service = the(objects, "Service")
    monitor = the(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    test_pod = the(objects, "Pod", "ftl-operator-test")
    assert not selectors[0].items() <= test_pod["metadata"]["labels"].items()


def test_by_default_there_is_only_what_every_cluster_can_take(home):
    assert kinds(values(home)) == [
        "ClusterRole",
        "ClusterRole",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "Role",
        "RoleBinding",
        "Service",
    ]


def test_httproutes_of_chosen_namespaces_may_name_the_interceptor(home):
    grant = the(template(home, "--values", ALL_VALUES), "ReferenceGrant")
    assert grant["metadata"]["namespace"] == "scaling"
    assert grant["spec"]["to"] == [{"group": "", "kind": "Service", "name": "interceptor"}]
    assert [(peer["kind"], peer["namespace"]) for peer in grant["spec"]["from"]] == [
        ("HTTPRoute", "agents"),
        ("HTTPRoute", "billing"),
    ]


# --- tenants ---

LISTED = {
    "tenancy": "shared",
    "allowedRegistries": ["ghcr.io"],
    "allowedIssuers": ["login.acme.dev"],
    "routeHosts": {"agents": ["tools.acme.dev"], "team-*": ["*.{namespace}.acme.dev"]},
    "quotas": {"namespaces": ["agents", "billing"]},
}


def with_values(home, content):
    path = home / "values.yaml"
    path.write_text(yaml.safe_dump(content))
    return "--values", path


def test_in_a_shared_cluster_every_default_changes_at_once(home):
    objects = template(home, *with_values(home, LISTED))
    found = environment(objects)
    settings = Settings.from_env({name: value for name, value in found.items() if isinstance(value, str)})
    assert settings.tenancy is Tenancy.SHARED
    assert settings.allowed_registries == ("ghcr.io",)
    assert settings.allowed_issuers == ("login.acme.dev",)
    assert found["FTL_ROUTE_HOSTS"] == "agents=tools.acme.dev,team-*=*.{namespace}.acme.dev"
    quotas = {
        item["metadata"]["namespace"]: item["spec"]["hard"]
        for item in objects
        if item["kind"] == "ResourceQuota"
    }
    limit = {"count/ftlapps.ftl.tools": "20"}
    assert quotas == {"agents": limit, "billing": limit}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"allowedRegistries": ["*"]}, "allowedRegistries"),
        ({"allowedRegistries": ["ghcr.io", "*"]}, "allowedRegistries"),
        ({"allowedIssuers": ["*"]}, "allowedIssuers"),
        ({"routeHosts": {}}, "routeHosts"),
        ({"routeHosts": {"agents": ["a.dev"], "*": ["*"]}}, "routeHosts"),
        ({"quotas": {"namespaces": []}}, "quotas.namespaces"),
    ],
)
def test_in_a_shared_cluster_what_tenants_may_name_is_listed(home, changed, said):
    done = helm(
        *("template", "x", CHART, "--kube-version", "1.34.0"),
        *with_values(home, LISTED | changed),
        home=home,
    )
    assert done.returncode != 0
    assert "tenancy: shared needs" in done.stderr
    assert said in done.stderr


def test_the_documented_values_are_enough_for_a_shared_cluster(home):
    page = (ROOT / "docs/explanation/trust-boundaries.md").read_text()
    (snippet,) = [text for text in page.split("```yaml\n")[1:] if text.startswith("tenancy: shared")]
    documented = yaml.safe_load(snippet.partition("```")[0])
    objects = template(home, *with_values(home, documented))
    assert environment(objects)["FTL_TENANCY"] == "shared"
    assert sum(item["kind"] == "ResourceQuota" for item in objects) == 3


def test_quotas_are_for_served_namespaces_too_and_can_be_changed(home):
    content = LISTED | {"namespaces": ["agents", "labs"], "quotas": {"ftlApps": 5, "namespaces": ["agents"]}}
    objects = template(home, *with_values(home, content))
    found = sorted(
        (item["metadata"]["namespace"], *item["spec"]["hard"].values())
        for item in objects
        if item["kind"] == "ResourceQuota"
    )
    assert found == [("agents", "5"), ("labs", "5")]
    assert "ResourceQuota" not in kinds(values(home))


# --- addresses ---


def test_the_operator_may_ask_openshifts_dns_and_is_reached_by_both_families(home):
    objects = template(home, "--values", ALL_VALUES)
    dns = the(objects, "NetworkPolicy")["spec"]["egress"][0]["ports"]
    assert {(port["port"], port["protocol"]) for port in dns} == {
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    }
    assert the(objects, "Service")["spec"]["ipFamilyPolicy"] == "PreferDualStack"


# --- the registry in the cluster ---


def test_the_registry_is_pushed_to_by_its_service_and_pulled_from_by_its_node_port(home):
    objects = values(home, "registry.enabled=true")
    service = the(objects, "Service", "ftl-operator-registry")
    pod = the(objects, "Deployment", "ftl-operator-registry")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert (
        not service["spec"]["selector"].items()
        <= the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    )
    (port,) = service["spec"]["ports"]
    found = environment(objects)
    assert found["FTL_PUBLISH_REPOSITORY"] == f"ftl-operator-registry.ftl-system.svc:{port['port']}/apps"
    assert found["FTL_PULL_REPOSITORY"] == f"localhost:{port['nodePort']}/apps"
    assert the(objects, "PersistentVolumeClaim", "ftl-operator-registry")


def test_two_answers_to_where_apps_are_published_are_refused(home):
    done = helm(
        *("template", "x", CHART, "--kube-version", "1.34.0", "--set", "registry.enabled=true"),
        *("--set", "publish.repository=ghcr.io/acme"),
        home=home,
    )
    assert done.returncode != 0
    assert "set one of them" in done.stderr


# --- packaging ---


def test_the_package_holds_the_chart_and_nothing_else(home):
    assert helm("package", CHART, "--destination", home, home=home).returncode == 0
    listed = subprocess.run(
        ["tar", "-tzf", home / "ftl-operator-0.1.0.tgz"], capture_output=True, text=True, check=True
    )
    names = {name.removeprefix("ftl-operator/") for name in listed.stdout.split()}
    assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "files/ftlapps.yaml"} <= names
    assert not any(name.startswith("ci/") for name in names)


def test_the_chart_and_the_operator_have_one_version():
    from ftl_operator import __version__

    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__
