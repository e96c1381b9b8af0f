"""Whole objects are compared with `tests/data/manifests`; rules that no case can show alone stand here."""

from pathlib import Path

import pytest
import yaml

from ftl_operator import apis
from ftl_operator.errors import Reason
from ftl_operator.manifests import endpoint, manifests
from ftl_operator.manifests_spinapp import Release, pod_sources, probe_token
from ftl_operator.model import FtlApp
from ftl_operator.refs import parse_reference
from ftl_operator.settings import Settings

DATA = Path(__file__).parent / "data" / "manifests"
CASES = sorted(path.parent.name for path in DATA.glob("*/ftlapp.yaml"))
IMAGE = parse_reference(f"registry.acme.dev/ftl/agents/hello@sha256:{'0' * 64}")
WITHOUT_CILIUM = apis.EVERY_API - {apis.CILIUM_NETWORK_POLICY}
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
    served = apis.EVERY_API if case == "everything" else WITHOUT_CILIUM
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
        assert apis.api_of(manifest) in apis.OWNED
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
        ("everything", apis.HTTP_ROUTE, True),
        ("everything", apis.SERVICE_MONITOR, False),
        ("keda", apis.SCALED_OBJECT, True),
        ("keda-http", apis.HTTP_SCALED_OBJECT, True),
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


def test_every_app_and_every_operator_has_its_own_probe_token():
    assert (
        len({probe_token("a", "k"), probe_token("b", "k"), probe_token("a", "l"), probe_token("a", "")}) == 4
    )


def test_what_pods_read_at_their_start_is_known_by_key_and_field():
    assert [(source.kind, source.name, source.key) for source in pod_sources(read("everything"))] == [
        ("Secret", "weather", "api-key"),
        ("ConfigMap", "desk", "board"),
        ("Secret", "cache", "password"),
    ]
    assert next(pod_sources(read("everything"))).field == "spec.tools[0].variables[1].valueFrom"


def test_the_endpoint_is_the_routes_or_the_services():
    assert endpoint(read("everything")) == "https://tools.acme.dev/assistant/mcp"
    assert endpoint(read("smallest")) == "http://hello.agents.svc/mcp"


def test_rendering_without_a_cluster_gives_no_owner_reference():
    document = yaml.safe_load((DATA / "smallest" / "ftlapp.yaml").read_text())
    del document["metadata"]["uid"]
    for manifest in manifests(FtlApp.parse(document), Release(IMAGE), SETTINGS).objects:
        assert "ownerReferences" not in manifest["metadata"]
