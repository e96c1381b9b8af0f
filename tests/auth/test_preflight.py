"""The checks of `access` and `auth` before deployment, with the gateway's own policy engine."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ftl_operator
from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, AuthSpec
from ftl_operator.api.names import NamespacedName
from ftl_operator.errors import ComponentError, FtlError, IssuerError, Reason, SpecError, WaitingError
from ftl_operator.host.sandbox.parent import check_policy
from ftl_operator.hosts import HostPatterns
from ftl_operator.issuer.fetch import IssuerSettings
from ftl_operator.issuer.preflight import CHECKED_SECONDS, FAILED_SECONDS, Preflight
from tests.auth.live_issuer import HOST, Answer, LiveIssuer, jwk
from tests.support.specs import ftlapp

GATEWAY = Path(ftl_operator.__file__).parent / "gateway.wasm"
AUDIENCE = "https://tools.acme.dev/mcp"
ALLOW_ANN = 'package mcp.authorization\nimport rego.v1\nallow if input.token.sub == "ann"'


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def no_config_map(name: str, key: str) -> str:
    raise SpecError(f"there is no {name}/{key}", reason=Reason.SOURCE_NOT_FOUND)


def no_policy(key: NamespacedName, request: bytes) -> bytes:
    raise AssertionError(f"no policy is expected: {request!r}")


def case(subject: str, *, allow: bool) -> dict[str, Any]:
    return {"name": f"{subject} {allow}", "input": json.dumps({"token": {"sub": subject}}), "allow": allow}


@pytest.fixture
def app(issuer: LiveIssuer) -> Callable[..., FtlApp]:
    """An app whose issuer is the live one; arguments replace fields of `auth`, None removes one."""

    def build(access: str = "private", **auth: Any) -> FtlApp:
        fields = {"issuer": issuer.url, "audiences": [AUDIENCE], "allowedSubjects": ["ann"], **auth}
        kept = {name: value for name, value in fields.items() if value is not None}
        return FtlApp.parse(ftlapp({"access": access, "auth": kept}))

    return build


def refusal(preflight: Preflight, app: FtlApp) -> FtlError:
    with pytest.raises(FtlError) as caught:
        preflight.authorize(app, no_config_map)
    return caught.value


def test_a_public_app_needs_nothing(settings: IssuerSettings) -> None:
    public = FtlApp.parse(ftlapp({"access": "public", "auth": None}))
    assert Preflight(settings, no_policy).authorize(public, no_config_map) is None


def test_what_was_checked_is_what_the_gateway_gets(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    found = Preflight(settings, no_policy).authorize(
        app(requiredScopes=["mcp:tools"], leewaySeconds=5), no_config_map
    )
    assert found is not None
    document = found.document(["mail:send"])
    assert document == {
        "access": "private",
        "issuer": issuer.url,
        "audiences": [AUDIENCE],
        "jwksUri": f"{issuer.url}/keys",
        "publicKey": None,
        "jwks": None,
        "algorithms": ["RS256"],
        "requiredScopes": ["mcp:tools"],
        "allowedSubjects": ["ann"],
        "organization": None,
        "hasPolicy": False,
        "leewaySeconds": 5,
        "authorizationServers": [issuer.url],
        "authorizationServerMetadata": f"{issuer.url}/.well-known/openid-configuration",
        "scopesSupported": ["mcp:tools", "mail:send"],
        "apiKeys": False,
        "advertisedScopes": [],
        "tokenTypes": [],
    }


def test_an_organization(app: Callable[..., FtlApp], settings: IssuerSettings) -> None:
    organization = {"claim": "tenant", "value": "t1", "members": ["ann"]}
    found = Preflight(settings, no_policy).authorize(
        app("org", organization=organization, allowedSubjects=None), no_config_map
    )
    assert found is not None
    assert found.organization == organization


@pytest.mark.parametrize("access", [Access.PRIVATE, Access.ORG, Access.CUSTOM])
def test_no_usable_rule_is_never_deployed(
    app: Callable[..., FtlApp], settings: IssuerSettings, access: Access
) -> None:
    """The preflight refuses a spec without a rule even if an older CRD admitted it."""
    good = app()
    empty = AuthSpec(audiences=(AUDIENCE,), issuer="https://login.acme.dev")
    for auth in (None, empty):
        spec = good.spec.model_copy(update={"access": access, "auth": auth})
        error = refusal(Preflight(settings, no_policy), good.model_copy(update={"spec": spec}))
        assert error.reason is Reason.NO_USABLE_RULE
        assert not error.retryable


def test_an_issuer_is_asked_once_in_a_while(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    clock = Clock()
    preflight = Preflight(settings, no_policy, clock=clock)
    for _ in range(3):
        preflight.authorize(app(), no_config_map)
    assert len(issuer.asked) == 2
    clock.now += CHECKED_SECONDS
    preflight.authorize(app(), no_config_map)
    assert len(issuer.asked) == 4


def test_a_failing_issuer_is_asked_again_soon_and_not_at_once(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    clock = Clock()
    preflight = Preflight(settings, no_policy, clock=clock)
    issuer.answers["/keys"] = Answer(b"", 503)
    for _ in range(3):
        error = refusal(preflight, app())
        assert (error.reason, error.retryable) == (Reason.ISSUER_UNAVAILABLE, True)
    assert issuer.asked.count("/keys") == 1
    issuer.publish(jwk("RS256"))
    clock.now += FAILED_SECONDS
    assert preflight.authorize(app(), no_config_map) is not None


def test_an_issuer_that_goes_on_failing_is_asked_less_and_less(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    clock = Clock()
    preflight = Preflight(settings, no_policy, clock=clock)
    issuer.answers["/keys"] = Answer(b"", 503)
    for pause in (FAILED_SECONDS, 2 * FAILED_SECONDS, 4 * FAILED_SECONDS):
        asked = issuer.asked.count("/keys")
        refusal(preflight, app())
        clock.now += pause - 1
        refusal(preflight, app())
        assert issuer.asked.count("/keys") == asked + 1
        clock.now += 1


def test_an_error_that_is_remembered_takes_no_field_from_whom_it_was_told(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    preflight = Preflight(settings, no_policy)
    issuer.answers["/keys"] = Answer(b"", 503)
    refusal(preflight, app())
    told = refusal(preflight, app())
    told.field = "spec.tools[3].image"
    assert refusal(preflight, app()).field == "spec.auth.issuer"


def test_a_policy_that_fails_is_not_run_again(app: Callable[..., FtlApp], settings: IssuerSettings) -> None:
    runs: list[NamespacedName] = []

    def check(key: NamespacedName, request: bytes) -> bytes:
        runs.append(key)
        raise ComponentError("the component passed its time limit")

    clock = Clock()
    preflight = Preflight(settings, check, clock=clock)
    for seconds in (0, CHECKED_SECONDS - 1):
        clock.now += seconds
        assert "time limit" in refusal(preflight, app(policy={"rego": ALLOW_ANN})).message
    assert len(runs) == 1


def of(document: FtlApp, namespace: str, **auth: str) -> FtlApp:
    """An app like this one in another namespace, with other fields of `auth`."""
    assert document.spec.auth is not None
    spec = document.spec.model_copy(update={"auth": document.spec.auth.model_copy(update=auth)})
    metadata = document.metadata.model_copy(update={"namespace": namespace})
    return document.model_copy(update={"spec": spec, "metadata": metadata})


def test_silent_issuers_of_a_tenant_hold_its_share_and_no_other_tenant_waits_for_them(
    app: Callable[..., FtlApp], settings: IssuerSettings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        preflight = Preflight(replace(settings, silence=60.0, total=60.0), no_policy, askers=4)
        good = of(app(), "good")
        url = f"https://{HOST}:{silent.getsockname()[1]}"
        # The good app's issuer, with keys at the silent one: that is another question than the good app's.
        hostile = [of(good, "hostile", jwks_uri=f"{url}/{number}") for number in range(8)]
        asking = [threading.Thread(target=lambda d=dead: refusal(preflight, d)) for dead in hostile[:2]]
        connections = []
        for thread in asking:
            thread.start()
            connections.append(silent.accept()[0])
        for dead in hostile:
            with pytest.raises(WaitingError) as caught:
                preflight.authorize(dead, no_config_map)
            assert caught.value.seconds
        assert preflight.authorize(good, no_config_map) is not None
        for connection in connections:
            connection.close()
        for thread in asking:
            thread.join(30)
            assert not thread.is_alive()
    # What was found is kept, so that the many others are told at once.
    assert refusal(preflight, hostile[0]).reason is Reason.ISSUER_UNAVAILABLE


def test_a_rotation_that_would_break_tokens_shows_before_it_does(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    clock = Clock()
    preflight = Preflight(settings, no_policy, clock=clock)
    before = preflight.authorize(app(), no_config_map)
    issuer.publish(jwk("RS256"), jwk("ES256"))
    clock.now += CHECKED_SECONDS
    after = preflight.authorize(app(), no_config_map)
    assert before is not None
    assert after is not None
    assert before == after, "nothing is composed anew for a warning"
    assert "ES256" in after.warnings[0]
    issuer.publish(jwk("ES256"))
    clock.now += CHECKED_SECONDS
    error = refusal(preflight, app())
    assert (error.reason, error.field) == (Reason.ISSUER_INVALID, "spec.auth.algorithms")


def test_a_static_key_needs_no_issuer_to_answer(
    app: Callable[..., FtlApp], settings: IssuerSettings, issuer: LiveIssuer
) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from tests.auth.live_issuer import KEYS

    pem = KEYS["ES256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    preflight = Preflight(settings, no_policy)
    found = preflight.authorize(app(publicKey=pem, algorithms=["ES256"]), no_config_map)
    assert found is not None
    assert (found.public_key, found.jwks_uri) == (pem, None)
    assert issuer.asked == []
    error = refusal(preflight, app(publicKey=pem))
    assert isinstance(error, SpecError)
    assert error.field == "spec.auth.publicKey"


def test_service_accounts_of_the_cluster(app: Callable[..., FtlApp], settings: IssuerSettings) -> None:
    url = "https://kubernetes.default.svc"
    documents = {
        "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/openid/v1/jwks"},
        "/openid/v1/jwks": {"keys": [jwk("RS256")]},
    }
    found = Preflight(settings, no_policy, documents.__getitem__).authorize(
        app(issuer=url, allowedSubjects=["system:serviceaccount:agents:bot"]), no_config_map
    )
    assert found is not None
    assert found.jwks_uri is None
    assert found.jwks is not None
    assert found.jwks["keys"][0]["kid"] == "rs256"


def test_an_issuer_that_the_settings_do_not_allow(
    app: Callable[..., FtlApp], settings: IssuerSettings
) -> None:
    error = refusal(
        Preflight(replace(settings, allowed=HostPatterns.parse(("login.acme.dev",))), no_policy), app()
    )
    assert isinstance(error, IssuerError)
    assert error.reason is Reason.ISSUER_NOT_ALLOWED


@pytest.fixture
def engine(settings: IssuerSettings) -> Preflight:
    return Preflight(settings, lambda _, request: check_policy(GATEWAY, request))


def test_a_policy_decides_as_its_tests_say(app: Callable[..., FtlApp], engine: Preflight) -> None:
    tests = [case("ann", allow=True), case("bob", allow=False)]
    found = engine.authorize(app("custom", policy={"rego": ALLOW_ANN}, policyTests=tests), no_config_map)
    assert found is not None
    assert found.policy == ALLOW_ANN
    wrong = [case("ann", allow=True), case("bob", allow=True)]
    error = refusal(engine, app("custom", policy={"rego": ALLOW_ANN}, policyTests=wrong))
    assert (error.reason, error.field) == (Reason.POLICY_TEST_FAILED, "spec.auth.policyTests[1]")
    assert "denies" in error.message


@pytest.mark.parametrize(
    "rego",
    [
        "package mcp.authorization\nallow if {",
        "package other\nallow := true",
        "package mcp.authorization\nimport rego.v1\ndeny := true",
        "package mcp.authorization\nallow := unknown(1)",
        "nonsense",
    ],
)
def test_a_policy_that_cannot_decide_is_not_deployed(
    app: Callable[..., FtlApp], engine: Preflight, rego: str
) -> None:
    error = refusal(engine, app("custom", policy={"rego": rego}))
    assert (error.reason, error.field) == (Reason.POLICY_INVALID, "spec.auth.policy")
    assert not error.retryable


def test_a_policy_from_a_config_map(app: Callable[..., FtlApp], engine: Preflight) -> None:
    reference = {"configMapKeyRef": {"name": "policy", "key": "allow.rego"}}
    data = {"configMapKeyRef": {"name": "policy", "key": "data.json"}}
    texts = {
        (
            "policy",
            "allow.rego",
        ): "package mcp.authorization\nimport rego.v1\nallow if input.token.sub == data.me",
        ("policy", "data.json"): '{"me": "ann"}',
    }
    tests = [case("ann", allow=True), case("bob", allow=False)]
    document = app("custom", policy=reference, policyData=data, policyTests=tests)
    found = engine.authorize(document, lambda name, key: texts[name, key])
    assert found is not None
    assert found.policy_data == '{"me": "ann"}'
    error = refusal(engine, document)
    assert (error.reason, error.field) == (Reason.SOURCE_NOT_FOUND, "spec.auth.policy.configMapKeyRef")
