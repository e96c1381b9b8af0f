"""What is composed, case by case; the same inputs give the same bytes everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, GatewayAuth
from ftl_operator.api.login import CheckedLogin, Upstream
from ftl_operator.api.status import FtlAppStatus
from ftl_operator.api.tools import ToolSpec
from ftl_operator.component.tool import Component
from ftl_operator.errors import FtlError, Reason, SpecError
from ftl_operator.host.spin.variables import expand
from ftl_operator.oci.descriptor import WASM_LAYER, Descriptor, Layer
from ftl_operator.oci.digest import canonical
from ftl_operator.oci.image import OciImage
from ftl_operator.pipeline.compose import MAX_TOOLS, Binding, ComposeSettings, LockedApp, compose, literal
from ftl_operator.pipeline.gateway.call_schema import judged
from ftl_operator.pipeline.gateway.catalog import served_tools
from ftl_operator.pipeline.image import build_image
from ftl_operator.pipeline.resolve import resolve
from tests.support import specs
from tests.support.specs import DATA, artifact, digest_of, public, tool

if TYPE_CHECKING:
    from ftl_operator.oci.reference import Digest

GOLDEN = DATA / "golden"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
SETTINGS = ComposeSettings(
    Layer(Descriptor(WASM_LAYER, digest_of("gateway"), 1234567)),
    Layer(Descriptor(WASM_LAYER, digest_of("login"), 2345678)),
)


def compose_with(
    app: FtlApp, tools: Mapping[str, list[dict[str, Any]] | None], auth: GatewayAuth | None = None
) -> LockedApp:
    """Compose an app whose components have these tools, by `ToolSpec.source`."""
    artifacts = {spec.source: artifact(spec.image, spec.component) for spec in app.spec.tools}
    components: dict[Digest, Component] = {}
    for source, found in artifacts.items():
        known = specs.component(found.layer, tools[source], "its WASI version")
        components[known.digest] = known
    return compose(resolve(app, artifacts), components, auth, SETTINGS)


def golden(case: str, *, shuffled: bool = False) -> LockedApp:
    folder = GOLDEN / case
    document = yaml.safe_load((folder / "ftlapp.yaml").read_text(encoding="utf-8"))
    tools = yaml.safe_load((folder / "components.yaml").read_text(encoding="utf-8"))
    given_auth = folder / "auth.yaml"
    fields = yaml.safe_load(given_auth.read_text(encoding="utf-8")) if given_auth.exists() else None
    if shuffled:
        document, tools, fields = backwards(document), backwards(tools), backwards(fields)
    auth = None
    if fields:
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        login = checked_login(fields.get("login"))
        auth = GatewayAuth(**{**fields, **lists, "access": Access(fields["access"]), "login": login})
    return compose_with(FtlApp.parse(document), tools, auth)


def checked_login(fields: Mapping[str, Any] | None) -> CheckedLogin | None:
    """What was checked of a login."""
    if fields is None:
        return None
    given = fields.get("upstream")
    upstream = None
    if given is not None:
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        upstream = Upstream(**{**given, **lists})
    return CheckedLogin(fields["issuer"], tuple(fields["client_hosts"]), upstream)


def backwards(value: Any) -> Any:
    """The same value with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(inner) for key, inner in reversed(value.items())}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


def shown(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def results(case: str) -> dict[str, str]:
    try:
        locked = golden(case)
    except FtlError as error:
        return {"error.txt": f"{error.field}\n{error.reason}\n{error.message}\n"}
    image = build_image(locked)
    return {
        "locked.json": shown(json.loads(image.locked)),
        "manifest.json": shown({"digest": image.digest, "manifest": json.loads(image.manifest)}),
    }


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, pytestconfig: pytest.Config) -> None:
    found = results(case)
    folder = GOLDEN / case
    kept = ("locked.json", "manifest.json", "error.txt")
    if pytestconfig.getoption("--bless"):
        for name in kept:
            (folder / name).unlink(missing_ok=True)
        for name, text in found.items():
            (folder / name).write_text(text, encoding="utf-8")
    expected = {
        name: (folder / name).read_text(encoding="utf-8") for name in kept if (folder / name).exists()
    }
    assert found == expected


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("refused-")])
def test_the_same_inputs_give_the_same_bytes(case: str) -> None:
    first, second = build_image(golden(case)), build_image(golden(case, shuffled=True))
    assert second == first


def test_another_process_with_another_hash_seed_gives_the_same_digest() -> None:
    code = (
        "from tests.pipeline.test_compose import golden, build_image\n"
        "print(build_image(golden('everything', shuffled=True)).digest)"
    )
    root = Path(__file__).parents[2]
    digests = set()
    for seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert digests == {build_image(golden("everything")).digest}


def config(locked: LockedApp) -> dict[str, Any]:
    return baked(locked, "gateway_config")


def baked(locked: LockedApp, name: str) -> Any:
    return json.loads(locked.document["components"][0]["config"][name])


def record(locked: LockedApp, name: str) -> tuple[Any, str, str]:
    """What the gateway reads to call a tool: a document, and the texts of its schemas."""
    text = locked.document["components"][0]["config"][f"tool_{name.encode().hex()}"]
    call, given, answered = text.split("\n")
    return json.loads(call), given, answered


WEATHER = {"name": "weather", "image": "ghcr.io/acme/weather:1.4"}
TOOLS = {"ghcr.io/acme/weather:1.4": [tool("current"), tool("forecast")]}


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_no_application_variable_but_what_a_pod_must_be_told(count: int) -> None:
    many = {WEATHER["image"]: [tool(f"forecast_{number}") for number in range(min(count, 500))]}
    other = {**WEATHER, "name": "more"}
    app = public(WEATHER, other) if count > 500 else public(WEATHER)
    locked = compose_with(app, many)
    assert len(locked.tools) == count
    assert locked.document["variables"] == {name: {"default": ""} for name in TOLD}
    config = locked.document["components"][0]["config"]
    templates = {name: text for name, text in config.items() if "{{" in text}
    assert templates == TEMPLATES


TOLD = ("gateway_app_uid", "gateway_sealing_key", "gateway_probe_word")
TEMPLATES = {
    "store_seal": "{{ gateway_app_uid }}:{{ gateway_sealing_key }}",
    "probe_word": "{{ gateway_probe_word }}",
}


TEXTS = st.text(st.sampled_from('{}\\"x u07b'))


@given(st.recursive(TEXTS, lambda inner: st.dictionaries(TEXTS, inner)))
def test_any_json_is_a_literal_that_says_the_same(value: object) -> None:
    text = literal(canonical(value))
    assert "{{" not in text
    assert json.loads(expand(text, {})) == value


def test_a_long_list_is_baked_in_pages() -> None:
    many = [tool(f"forecast_{number}", description="x" * 3000) for number in range(300)]
    locked = compose_with(public(WEATHER), {WEATHER["image"]: many})
    literals = locked.document["components"][0]["config"]
    for name in ("tools_list", "tools_list_weather"):
        found, start = [], "0"
        while start:
            text = literals[name if start == "0" else f"{name}_at_{start}"]
            page, _, start = text.partition("\n")
            assert len(page.encode()) <= 256 << 10
            found += json.loads(page)
            assert not start or int(start) == len(found)
        assert len(found) == 300
    assert len([name for name in literals if name.startswith("tools_list")]) == 8


def test_variables_of_tools_are_the_only_others() -> None:
    variables = golden("everything").document["variables"]
    assert {name for name in variables if not name.startswith(("weather_eu_", "notes_"))} == set(TOLD)


def test_braces_in_texts_are_no_templates() -> None:
    text = "{{ secret }} {{{{{ }} }{ \\\\{{"
    braces = {**tool("current"), "description": text}
    braces["inputSchema"] = {"type": "object", "properties": {text: {"const": text}}}
    locked = compose_with(public(WEATHER, description=text), {WEATHER["image"]: [braces]})
    literals = dict(locked.document["components"][0]["config"])
    for name, template in TEMPLATES.items():
        assert literals.pop(name) == template
    assert not [name for name, value in literals.items() if "{{" in value]
    assert baked(locked, "tools_list")[0]["description"] == text
    assert baked(locked, "gateway_config")["description"] == text
    assert text in record(locked, "weather__current")[1].replace("\\u007b", "{").replace("\\\\", "\\")


def test_variable_names_are_ones_that_spin_takes() -> None:
    for case in ("everything", "dynamic"):
        for name in golden(case).document["variables"]:
            assert name[0].isalpha()
            assert "__" not in name
            assert not name.endswith("_")
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


def test_secrets_and_config_maps_are_bound_and_have_no_value() -> None:
    locked = golden("everything")
    variables = locked.document["variables"]
    assert variables["weather_eu_api_key"] == {"secret": True}
    assert variables["weather_eu_region"] == {}
    tool_spec = FtlApp.parse(
        yaml.safe_load((GOLDEN / "everything" / "ftlapp.yaml").read_text(encoding="utf-8"))
    ).spec.tools[0]
    sources = [variable.value_from for variable in tool_spec.variables[1:]]
    assert locked.bindings == (
        Binding("weather_eu_api_key", "weather-eu", "api_key", sources[0]),  # type: ignore[arg-type]
        Binding("weather_eu_region", "weather-eu", "region", sources[1]),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("everything", ["weather-eu__current", "weather-eu__hourly", "notes__add"]),
        (
            "prefixes",
            [
                "current",
                "next_days",
                "v1.current",
                "v1.forecast",
                "weather-test__current",
                "weather-test__forecast",
            ],
        ),
    ],
)
def test_lists_index_and_calls_agree(case: str, names: list[str]) -> None:
    locked = golden(case)
    whole, index = baked(locked, "tools_list"), baked(locked, "tools_index")
    assert [item["name"] for item in whole] == names
    assert [tool.full_name for tool in locked.tools] == [item["name"] for item in whole]
    for listed, entry in zip(whole, index, strict=True):
        call, given, answered = record(locked, listed["name"])
        assert json.loads(given) == judged(listed["inputSchema"])
        output = listed.get("outputSchema")
        assert (json.loads(answered) if answered else None) == (judged(output) if output else None)
        assert (call["component"], call["name"]) == (entry["component"], entry["tool"])
        assert (call["readOnly"], call["scopes"]) == (entry["readOnly"], entry["scopes"])
        key = f"{call['component']}__{call['name']}"
        assert call.get("listed", key) == listed["name"]
        assert record(locked, key) == (call, given, answered)
        own = baked(locked, f"tools_list_{call['component'].replace('-', '_')}")
        assert {**listed, "name": call["name"]} in own


def test_the_apps_digest_changes_with_everything_that_is_composed() -> None:
    def app(tools: list[dict[str, Any]] | None = None, **fields: Any) -> str:
        given_tools = {WEATHER["image"]: tools or TOOLS[WEATHER["image"]]}
        return str(config(compose_with(public(WEATHER, **fields), given_tools))["app"])

    seen = [
        app(),
        app([tool("current")]),
        app([tool("forecast"), tool("current")]),
        app(gateway={"validateArguments": False}),
        app(gateway={"timeoutSeconds": 9}),
        app(description="x"),
        app(telemetry={"auditLog": False}),
    ]
    assert len(set(seen)) == len(seen)
    assert app() == seen[0]


def test_what_only_the_cluster_sees_changes_nothing() -> None:
    plain = build_image(compose_with(public(WEATHER), TOOLS))
    other = public(
        WEATHER,
        suspend=True,
        runtime={"replicas": 3, "podLabels": {"a": "b"}},
        network={"policy": False},
        publish={"repository": "ghcr.io/acme/other"},
        telemetry={"serviceMonitor": True},
    )
    assert build_image(compose_with(other, TOOLS)).digest == plain.digest


def test_another_tag_of_the_same_bytes_changes_nothing() -> None:
    def image(text: str) -> OciImage:
        app = public({"name": "weather", "image": text})
        found = artifact("ghcr.io/acme/weather:1.4")
        known = specs.component(found.layer, TOOLS[WEATHER["image"]])
        return build_image(compose(resolve(app, {text: found}), {known.digest: known}, None, SETTINGS))

    assert image("ghcr.io/acme/weather:1.4") == image("ghcr.io/acme/weather:latest")


def auth(**fields: Any) -> GatewayAuth:
    given_fields: dict[str, Any] = {
        "access": Access.PRIVATE,
        "issuer": "https://login.acme.dev",
        "audiences": ("https://tools.acme.dev/mcp",),
        "algorithms": ("RS256",),
        "jwks_uri": "https://login.acme.dev/jwks.json",
        "allowed_subjects": ("ann",),
    }
    return GatewayAuth(**{**given_fields, **fields})


@pytest.mark.parametrize(
    ("access", "checked"),
    [("public", auth()), ("private", None), ("private", auth(access=Access.ORG)), ("org", auth())],
)
def test_access_and_what_was_checked_must_fit(access: str, checked: GatewayAuth | None) -> None:
    fields: dict[str, Any] = (
        {} if access == "public" else {"organization": {"value": "o"}, "allowedSubjects": ["a"]}
    )
    spec = {"access": access, "tools": [WEATHER]}
    spec["auth"] = None if access == "public" else {"issuer": "https://a.dev", "audiences": ["a"], **fields}
    with pytest.raises(SpecError) as caught:
        compose_with(FtlApp.parse(specs.ftlapp(spec)), TOOLS, checked)
    assert caught.value.reason is Reason.NO_USABLE_RULE


def private(**fields: Any) -> FtlApp:
    return FtlApp.parse(specs.ftlapp({"tools": [WEATHER], **fields}))


def test_a_store_that_a_tool_shares_is_said_to_be_shared() -> None:
    assert config(compose_with(private(), TOOLS, auth()))["storeShared"] is False
    redis = {"type": "redis", "options": [{"name": "url", "value": "redis://cache:6379"}]}
    for fields in (
        {"tools": [{**WEATHER, "keyValueStores": ["default"]}]},
        {"runtime": {"runtimeConfig": {"keyValueStores": [{"name": "default", **redis}]}}},
        {"runtime": {"runtimeConfig": {"keyValueStores": [{"name": "cache", **redis}]}}},
        {"runtime": {"runtimeConfig": {"loadFromSecret": "stores"}}},
    ):
        assert config(compose_with(private(**fields), TOOLS, auth()))["storeShared"] is True, fields
    other = private(tools=[{**WEATHER, "keyValueStores": ["cache"]}])
    assert config(compose_with(other, TOOLS, auth()))["storeShared"] is False


@pytest.mark.parametrize(
    ("route", "audiences", "resource"),
    [
        ({"host": "tools.acme.dev"}, ("a",), "https://tools.acme.dev/mcp"),
        ({"host": "tools.acme.dev", "path": "/x"}, ("a",), "https://tools.acme.dev/x/mcp"),
        (None, ("api://a", "https://a.dev/mcp"), "https://a.dev/mcp"),
        (None, ("https://a.dev/", "https://a.dev/mcp?x", "http://a.dev/mcp"), None),
    ],
)
def test_the_resource(route: dict[str, Any] | None, audiences: tuple[str, ...], resource: str | None) -> None:
    app = private(route=route)
    assert config(compose_with(app, TOOLS, auth(audiences=audiences)))["resource"] == resource


def test_an_app_that_refuses_hosts_takes_its_own() -> None:
    """Those of its route and its Service, by which the operator's probe comes; without any, all are taken."""
    route = {"host": "tools.acme.dev", "gatewayRef": {"name": "public"}}
    chosen = private(gateway={"allowedHosts": ["inside"]}, route=route)
    hosts = ["inside", "case.agents.svc", "tools.acme.dev"]
    assert config(compose_with(chosen, TOOLS, auth()))["allowedHosts"] == hosts
    assert config(compose_with(private(route=route), TOOLS, auth()))["allowedHosts"] == []
    scaling = {"scaler": "keda-http", "minReplicas": 0, "maxReplicas": 2}
    scaled = private(gateway={"allowedHosts": ["inside"]}, runtime={"autoscaling": scaling})
    hosts = ["inside", "case.agents.svc", "case-keda-http.agents.svc"]
    assert config(compose_with(scaled, TOOLS, auth()))["allowedHosts"] == hosts


def test_the_gateway_reaches_its_tools_and_the_keys_and_nothing_else() -> None:
    locked = compose_with(private(), TOOLS, auth(jwks_uri="https://keys.acme.dev:8443/a/b"))
    hosts = locked.document["components"][0]["metadata"]["allowed_outbound_hosts"]
    assert hosts == ["http://weather.spin.internal", "https://keys.acme.dev:8443"]
    static = compose_with(private(), TOOLS, auth(jwks_uri=None, public_key="PEM"))
    assert static.document["components"][0]["metadata"]["allowed_outbound_hosts"] == [
        "http://weather.spin.internal"
    ]


def test_nothing_that_was_given_is_changed() -> None:
    tools = {"ghcr.io/acme/weather:1.4": [tool("a", annotations={"readOnlyHint": True})]}
    before = json.dumps(tools)
    compose_with(public({**WEATHER, "rename": [{"from": "a", "to": "b"}]}), tools)
    assert json.dumps(tools) == before


def test_an_app_has_no_more_tools_than_its_status_has_room_for() -> None:
    tools = {f"r.io/t{n}:1": [tool(f"t{index}") for index in range(500)] for n in range(3)}
    app = public(*({"name": f"t{n}", "image": image} for n, image in zip("abc", tools, strict=True)))
    with pytest.raises(SpecError) as caught:
        compose_with(app, tools)
    assert (caught.value.field, caught.value.reason) == ("spec.tools", Reason.TOO_LARGE)
    status = FtlAppStatus.model_json_schema()["properties"]["tools"]
    assert status["maxItems"] == MAX_TOOLS


PATTERNS = st.text("ab*?[]", min_size=1, max_size=8)


@given(PATTERNS, st.text("ab[]", min_size=1, max_size=6))
def test_patterns_match_as_the_gateway_matches_them(pattern: str, name: str) -> None:
    """`*` is any text, `?` any character, everything else itself: the definition, not an algorithm."""

    def fits(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return fits(pattern[1:], name) or (bool(name) and fits(pattern, name[1:]))
        return bool(name) and pattern[0] in ("?", name[0]) and fits(pattern[1:], name[1:])

    known = specs.component(artifact(WEATHER["image"]).layer, [tool("a")])
    listed = type(known.tools[0])(name, None, "", {"type": "object"})  # type: ignore[index]
    component = Component(known.digest, known.size, known.binary, (listed,))
    spec = ToolSpec.model_validate({**WEATHER, "include": [pattern]})
    try:
        served = served_tools(spec, "spec.tools[0]", component)
    except SpecError:
        served = ()
    assert bool(served) == (fits(pattern, name) or fits(pattern, "#1"))


def login_of(locked: LockedApp) -> dict[str, Any]:
    (found,) = (entry for entry in locked.document["components"] if entry["id"] == "login")
    return dict(found)


def test_an_app_without_a_login_carries_nothing_of_it() -> None:
    text = canonical(golden("everything").document)
    assert "login" not in text.replace("login.acme.dev", "")
    assert digest_of("login") not in [layer.descriptor.digest for layer in golden("everything").layers]


def test_a_login_has_routes_of_its_own_and_reaches_only_what_it_needs() -> None:
    locked = golden("login-upstream")
    routes = {
        entry["trigger_config"]["route"]: entry["trigger_config"]["component"]
        for entry in locked.document["triggers"]
        if isinstance(entry["trigger_config"]["route"], str)
    }
    assert routes == {
        "/...": "gateway",
        "/login/...": "login",
        "/.well-known/oauth-authorization-server/...": "login",
        "/.well-known/openid-configuration/...": "login",
    }
    assert len({entry["id"] for entry in locked.document["triggers"]}) == len(locked.document["triggers"])
    assert login_of(locked)["metadata"]["allowed_outbound_hosts"] == [
        "https://claude.ai",
        "https://id.acme.dev",
        "https://keys.acme.dev:8443",
    ]
    assert [layer.descriptor.digest for layer in locked.layers][:2] == [
        SETTINGS.gateway.descriptor.digest,
        digest_of("login"),
    ]


def test_a_logins_secrets_are_in_no_artifact() -> None:
    for case, expected in (
        ("login", {"gateway_login_keys", "gateway_login_users", "gateway_api_keys"}),
        ("login-upstream", {"gateway_login_keys", "gateway_login_upstream_secret"}),
    ):
        locked = golden(case)
        assert {binding.name for binding in locked.bindings} == expected
        for name in expected:
            assert locked.document["variables"][name] == {"secret": True}
        given = {**dict.fromkeys(locked.document["variables"], ""), "gateway_login_keys": "k"}
        shown = {name: expand(text, given) for name, text in login_of(locked)["config"].items()}
        assert shown["login_keys"] == "k"


def test_the_consent_page_is_told_which_tools_a_scope_is_for() -> None:
    found = json.loads(expand(login_of(golden("login"))["config"]["login_config"], {}))
    assert found["scopes"] == [
        {"name": "mcp:tools", "description": None},
        {"name": "mail:admin", "description": "Call mail__a, mail__b, mail__c and 1 more"},
        {"name": "mail:send", "description": "Call mail__send"},
    ]
    assert found["basePath"] == "/assistant"
    assert found["audiences"][0] == "https://tools.acme.dev/assistant/mcp"


def test_the_logins_own_host_is_accepted_beside_the_named_ones() -> None:
    document = yaml.safe_load((GOLDEN / "login-upstream" / "ftlapp.yaml").read_text(encoding="utf-8"))
    document["spec"]["gateway"] = {"allowedHosts": ["other.dev"]}
    auth = GatewayAuth(
        access=Access.PRIVATE,
        issuer="https://tools.acme.dev",
        audiences=("https://tools.acme.dev/mcp",),
        algorithms=("ES256",),
        allowed_subjects=("ann",),
        login=CheckedLogin("https://tools.acme.dev", ()),
    )
    locked = compose_with(FtlApp.parse(document), {"ghcr.io/acme/mail:1.4": [tool("send")]}, auth)
    assert config(locked)["allowedHosts"] == ["other.dev", "people.agents.svc", "tools.acme.dev"]
    assert config(locked)["resource"] == "https://tools.acme.dev/mcp"


def test_without_a_login_component_no_app_with_a_login_is_composed() -> None:
    app = FtlApp.parse(yaml.safe_load((GOLDEN / "login" / "ftlapp.yaml").read_text(encoding="utf-8")))
    (spec,) = app.spec.tools
    found = artifact(spec.image, spec.component)
    known = specs.component(found.layer, [tool(name) for name in ("send", "a", "b", "c", "d")])
    auth = GatewayAuth(
        access=Access.PRIVATE,
        issuer="https://a.dev",
        audiences=("https://a.dev/mcp",),
        algorithms=("ES256",),
        login=CheckedLogin("https://a.dev", ()),
    )
    resolved, components = resolve(app, {spec.source: found}), {known.digest: known}
    assert compose(resolved, components, auth, SETTINGS).layers
    with pytest.raises(SpecError, match="no login component"):
        compose(resolved, components, auth, ComposeSettings(SETTINGS.gateway))
