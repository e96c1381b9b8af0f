"""The sample policies for administrators, judged by the API server: what each refuses, and what passes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cases.test_crd import dry_run
from e2e.cluster.api import ApiError, Object
from e2e.cluster.control_plane import Cluster
from e2e.cluster.operator import Operator
from e2e.support.process import wait_until

POLICIES = Path(__file__).parents[2] / "examples" / "admission" / "policies.yaml"
DIGEST = f"@sha256:{'0' * 64}"
GOOD = f"registry.example.com/tools/text:1.0{DIGEST}"
LABEL = {"mcp-tools": "curated"}
AUTH = {
    "issuer": "https://login.example.com",
    "audiences": ["https://tools.example.com/mcp"],
    "allowedSubjects": ["alice@example.com"],
}
PRIVATE = {"access": "private", "auth": AUTH}


def ftlapp(*images: str, **spec: Any) -> Object:
    tools = [
        {"name": f"tool-{chr(ord('a') + number)}", "image": image} for number, image in enumerate(images)
    ]
    fields = {**PRIVATE, "tools": tools, **spec}
    return {
        "apiVersion": "ftl.tools/v1alpha1",
        "kind": "FtlApp",
        "metadata": {"name": "case"},
        "spec": {name: value for name, value in fields.items() if value is not None},
    }


REFUSED = {
    "a tag": (ftlapp("registry.example.com/tools/text:1.0"), "digest (@sha256:…) here: registry.example"),
    "a tag beside a digest": (ftlapp(GOOD, "ghcr.io/acme/b:2"), "digest (@sha256:…) here: ghcr.io/acme/b:2"),
    "a gateway with a tag": (
        ftlapp(GOOD, gateway={"image": "ghcr.io/acme/gateway:1"}),
        "here: ghcr.io/acme/g",
    ),
    "everybody may call": (ftlapp(GOOD, access="public", auth=None), "access: public lets everybody call"),
    "another registry": (ftlapp(f"docker.io/acme/text{DIGEST}"), "not from: docker.io/acme/text"),
    "another owner": (
        ftlapp(f"ghcr.io/other/text{DIGEST}"),
        "come from registry.example.com, ghcr.io/acme here",
    ),
    "a name that only begins alike": (
        ftlapp(f"ghcr.io/acme-evil/text{DIGEST}"),
        "not from: ghcr.io/acme-evil",
    ),
    "a host that only begins alike": (
        ftlapp(f"registry.example.com.evil.io/t{DIGEST}"),
        "not from: registry.ex",
    ),
    "a gateway from elsewhere": (
        ftlapp(GOOD, gateway={"image": f"quay.io/g/w{DIGEST}"}),
        "not from: quay.io",
    ),
}
TAKEN = {
    "tag and digest": ftlapp(GOOD),
    "a digest alone, of an owner": ftlapp(GOOD, f"ghcr.io/acme/deep/er/text{DIGEST}"),
    "a gateway with a digest": ftlapp(GOOD, gateway={"image": f"ghcr.io/acme/gateway{DIGEST}"}),
    "a gateway that names no image": ftlapp(GOOD, gateway={"title": "Tools"}),
    "an organization's members": ftlapp(GOOD, access="org", auth={**AUTH, "organization": {"value": "acme"}}),
}


@pytest.fixture(scope="module")
def curated(cluster: Cluster, operator: Operator) -> Iterator[str]:
    """A namespace in which the policies hold; the cluster has them only for this module."""
    documents = [one for one in yaml.safe_load_all(POLICIES.read_text(encoding="utf-8")) if one]
    name = cluster.namespace("curated-apps", spin=False)
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": LABEL}})
    cluster.api.apply_all(documents)
    for case, (document, words) in REFUSED.items():
        # Each policy is known to the API server a little after it was made.
        wait_until(f"{case} is refused", lambda d=document, w=words: w in _refusal(cluster, name, d))
    yield name
    for document in documents:
        meta = document["metadata"]
        cluster.api.delete(document["apiVersion"], document["kind"], meta["name"], meta.get("namespace"))
    cluster.api.delete("v1", "Namespace", name)


def _refusal(cluster: Cluster, namespace: str, document: Object) -> str:
    try:
        dry_run(cluster.api, document, namespace)
    except ApiError as error:
        return error.message
    return ""


@pytest.mark.parametrize("case", REFUSED)
def test_a_policy_refuses_with_its_reason(cluster: Cluster, curated: str, case: str) -> None:
    document, words = REFUSED[case]
    assert words in _refusal(cluster, curated, document)


@pytest.mark.parametrize("case", TAKEN)
def test_what_keeps_the_rules_is_taken(cluster: Cluster, curated: str, case: str) -> None:
    assert _refusal(cluster, curated, TAKEN[case]) == ""


@pytest.mark.parametrize("case", REFUSED)
def test_other_namespaces_are_free(cluster: Cluster, curated: str, case: str) -> None:
    assert _refusal(cluster, "default", REFUSED[case][0]) == ""


def test_without_the_list_of_registries_nothing_is_taken(cluster: Cluster, curated: str) -> None:
    place = ("v1", "ConfigMap", "ftlapps-registries", "ftl-system")
    kept = cluster.api.get(*place)
    cluster.api.delete(*place)
    try:
        wait_until("the app is refused", lambda: _refusal(cluster, curated, TAKEN["tag and digest"]))
    finally:
        cluster.api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "ftlapps-registries", "namespace": "ftl-system"},
                "data": kept["data"],
            }
        )
