"""The model accepts documented specs and refuses others with the field's path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ftl_operator.api.app import FtlApp, FtlAppSpec, UpdatePolicy
from ftl_operator.api.auth import Access
from ftl_operator.api.network import RouteSpec
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.api.tools import OUTBOUND_HOST, ToolSpec
from ftl_operator.errors import Reason, SpecError
from tests.support.specs import INVALID, ftlapp, public

CASES = [case for case in INVALID["cases"] if case["field"] is not None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_spec_that_is_not_usable_is_refused_with_its_field(case: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        FtlApp.parse(ftlapp(case.get("spec"), case.get("metadata")))
    assert caught.value.field == case["field"]
    assert case["words"] in caught.value.message
    assert caught.value.reason == case.get("reason", Reason.INVALID_SPEC)


def test_defaults() -> None:
    app = FtlApp.parse(ftlapp())
    spec = app.spec
    assert (app.metadata.name, app.metadata.namespace, spec.access) == ("case", "agents", Access.PRIVATE)
    assert (spec.suspend, spec.update_policy, spec.interval_seconds) == (False, UpdatePolicy.FOLLOW, None)
    assert spec.gateway.validate_arguments
    assert spec.gateway.timeout_seconds == 30
    assert spec.runtime.executor == "containerd-shim-spin"
    assert spec.runtime.replicas is None
    assert spec.network.policy
    assert (spec.telemetry.audit_log, spec.telemetry.service_monitor) == (True, False)
    assert spec.tools[0].allowed_outbound_hosts == ()


def test_nothing_can_be_changed() -> None:
    app = FtlApp.parse(ftlapp())
    with pytest.raises(ValidationError):
        app.spec.suspend = True  # type: ignore[misc]


def test_status_and_unknown_metadata_are_not_looked_at() -> None:
    document = ftlapp(metadata={"managedFields": [1], "resourceVersion": "7", "annotations": {"a": "b"}})
    assert FtlApp.parse({**document, "status": {"anything": [1]}}) == FtlApp.parse(document)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "this is not an object"),
        (None, "this is not an object"),
        ({}, "write apiVersion: ftl.tools/v1alpha1"),
        ({**ftlapp(), "apiVersion": "ftl.tools/v1"}, "write apiVersion: ftl.tools/v1alpha1"),
        ({**ftlapp(), "kind": "SpinApp"}, "kind: FtlApp"),
        ({**ftlapp(), "extra": 1}, "there is no such field"),
    ],
)
def test_what_is_no_ftlapp_is_refused(document: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        FtlApp.parse(document)


def test_several_problems_are_told_at_once_and_bounded() -> None:
    tools = [{"name": "A", "image": ""}] * 4
    with pytest.raises(SpecError) as caught:
        FtlApp.parse(ftlapp({"tools": tools}))
    assert caught.value.field == "spec.tools[0].name"
    assert "; spec.tools[1].name: " in caught.value.message
    assert caught.value.message.endswith("; and 3 more")


def test_no_value_is_shown_in_errors_or_reprs() -> None:
    secret = "hunter2-" * 4
    variable = {"name": "v", "value": secret}
    app = public({"name": "a", "image": "r.io/a:1", "variables": [variable]})
    assert app.spec.tools[0].variables[0].value == secret
    assert secret not in repr(app)
    with pytest.raises(SpecError) as caught:
        public({"name": "a", "image": "r.io/a:1", "variables": [{**variable, "name": "V"}]})
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.__cause__)


def test_quantities_may_be_numbers() -> None:
    app = public(
        {"name": "a", "image": "r.io/a:1"}, runtime={"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}
    )
    assert app.spec.runtime.resources.limits == {"cpu": "2", "memory": "1Gi"}


@pytest.mark.parametrize("kind", ["configMap", "secret", "persistentVolumeClaim", "emptyDir"])
def test_volumes_of_every_kind(kind: str) -> None:
    source: dict[str, Any] = {"sizeLimit": "1Mi"} if kind == "emptyDir" else {"name": "x"}
    runtime = {"volumes": [{"name": "v", kind: source}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    assert public({"name": "a", "image": "r.io/a:1"}, runtime=runtime).spec.runtime.volumes[0].name == "v"


@pytest.mark.parametrize(
    "host",
    [
        "https://api.open-meteo.com",
        "http://localhost:8080",
        "https://*.acme.dev",
        "*://*:*",
        "http://10.0.0.0/8:8000..8010",
        "https://[2001:db8::1]:443",
        "redis://cache",
        "postgres://db.acme.dev:5432",
        "http://self",
        "http://other.spin.internal",
        "tcp://broker:9092",
    ],
)
def test_outbound_hosts_as_spin_writes_them(host: str) -> None:
    assert ToolSpec.model_validate({"name": "a", "image": "r.io/a:1", "allowedOutboundHosts": [host]})


@pytest.mark.parametrize(
    "host",
    [
        "api.acme.dev",
        "*",
        "",
        "https://",
        "https://a.dev/",
        "https://a.dev/path",
        "https://user@a.dev",
        "https://a.dev:port",
        "https://a.*.dev",
        "{http,https}://a.dev",
        "https://{{ host }}",
        "insecure:allow-all",
        "https://a.dev ",
        "https://a.dev\nhttps://b.dev",
        "tcp://broker",
        "https+unix://a",
    ],
)
def test_other_outbound_hosts_are_refused(host: str) -> None:
    with pytest.raises(ValidationError):
        ToolSpec.model_validate({"name": "a", "image": "r.io/a:1", "allowedOutboundHosts": [host]})


def test_patterns_are_anchored() -> None:
    assert OUTBOUND_HOST.startswith("^")
    assert OUTBOUND_HOST.endswith("$")


def test_the_source_tells_components_of_one_artifact_apart() -> None:
    app = public(
        {"name": "a", "image": "r.io/app:1", "component": "one"}, {"name": "b", "image": "r.io/app:1"}
    )
    assert [tool.source for tool in app.spec.tools] == ["r.io/app:1#one", "r.io/app:1"]


@pytest.mark.parametrize(
    ("route", "url"),
    [
        ({"host": "a.dev"}, "https://a.dev/"),
        ({"host": "a.dev", "path": "/x/y"}, "https://a.dev/x/y/"),
        ({"host": "a.dev", "tls": {"enabled": False}}, "http://a.dev/"),
    ],
)
def test_the_routes_url(route: dict[str, Any], url: str) -> None:
    assert RouteSpec.model_validate(route).url == url


def test_a_status_is_read_leniently() -> None:
    assert FtlAppStatus.parse(None) == FtlAppStatus()
    assert FtlAppStatus.parse({"observedGeneration": "x"}) == FtlAppStatus()
    known = FtlAppStatus.parse({"observedGeneration": 4, "image": "r.io/a@sha256:0", "of": "later versions"})
    assert (known.observed_generation, known.image) == (4, "r.io/a@sha256:0")


NAMES = sorted(FtlAppSpec.model_json_schema()["properties"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "image", *NAMES]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_any_spec_is_an_app_or_a_spec_error_with_a_path(fields: dict[str, Any]) -> None:
    try:
        FtlApp.parse(ftlapp(fields))
    except SpecError as error:
        path, length = error.field, len(error.message)
    else:
        return
    assert path == "spec" or path.startswith("spec.")
    assert length < 4096
