"""The checks of an app's own login before deployment: its URL, its public keys, its provider."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.names import NamespacedName
from ftl_operator.errors import FtlError, IssuerError, Reason, SpecError
from ftl_operator.issuer.fetch import IssuerSettings
from ftl_operator.issuer.login import login_warnings, public_keys
from ftl_operator.issuer.preflight import CHECKED_SECONDS, Preflight
from ftl_operator.manifests.login_secret import jwks_text, keys_text, new_key, new_keys, rotated
from tests.auth.live_issuer import HOST, LiveIssuer, jwk
from tests.support.specs import ftlapp

USERS = {"users": {"secretRef": {"name": "people", "key": "users"}}}
ROUTE = {"host": "tools.acme.dev", "path": "/assistant"}
KEYS = new_keys()


def no_policy(key: NamespacedName, request: bytes) -> bytes:
    raise AssertionError(f"no policy is expected: {request!r}")


def no_config_map(name: str, key: str) -> str:
    raise AssertionError(f"no ConfigMap is expected: {name}/{key}")


class Secrets:
    """Secrets of the namespace, and what was read of them."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.read: list[tuple[str, str]] = []

    def __call__(self, name: str, key: str) -> str:
        self.read.append((name, key))
        try:
            return self.values[name.replace("-", "_")]
        except KeyError:
            raise SpecError(f"there is no {name}/{key}", reason=Reason.SOURCE_NOT_FOUND) from None


def app(access: str = "private", route: Any = ROUTE, spec: Any = None, **auth: Any) -> FtlApp:
    fields = {"login": USERS, **auth}
    return FtlApp.parse(ftlapp({"access": access, "auth": fields, "route": route, **(spec or {})}))


def authorize(app: FtlApp, settings: IssuerSettings, secrets: Secrets | None = None) -> GatewayAuth:
    known = Secrets(case_login=jwks_text(KEYS)) if secrets is None else secrets
    found = Preflight(settings, no_policy).authorize(app, no_config_map, known)
    assert found is not None
    return found


def test_the_app_is_its_own_issuer(settings: IssuerSettings) -> None:
    secrets = Secrets(case_login=jwks_text(KEYS))
    found = authorize(app(requiredScopes=["mcp:tools"]), settings, secrets)
    assert secrets.read == [("case-login", "jwks")], "nothing else of any Secret is read"
    document = found.document(["mail:send"])
    assert document == {
        "access": "private",
        "issuer": "https://tools.acme.dev/assistant",
        "audiences": ["https://tools.acme.dev/assistant/mcp"],
        "jwksUri": None,
        "publicKey": None,
        "jwks": {"keys": sorted((key.public for key in KEYS), key=lambda key: key["kid"])},
        "algorithms": ["ES256"],
        "requiredScopes": ["mcp:tools"],
        "allowedSubjects": [],
        "organization": None,
        "hasPolicy": False,
        "leewaySeconds": 60,
        "authorizationServers": ["https://tools.acme.dev/assistant"],
        "authorizationServerMetadata": None,
        "scopesSupported": ["mcp:tools", "mail:send"],
        "apiKeys": False,
        "advertisedScopes": [],
        "tokenTypes": ["at+jwt"],
        "everySubject": True,
    }
    for key in KEYS:
        assert key.sign["d"] not in json.dumps(document)
        assert key.seal not in json.dumps(document)


def test_who_may_call_stays_what_the_spec_says(settings: IssuerSettings) -> None:
    named = authorize(app(allowedSubjects=["ann"]), settings)
    assert named.document(())["access"] == "private"
    assert named.document(())["allowedSubjects"] == ["ann"]
    organization = {"claim": "org", "value": "acme", "members": ["ann"]}
    members = authorize(app("org", organization=organization), settings)
    assert members.document(())["organization"] == organization
    keys = {"secretRef": {"name": "keys", "key": "list"}}
    both = authorize(app(apiKeys=keys), settings)
    assert both.document(())["everySubject"] is True
    for stricter in (named, members, authorize(app(apiKeys=keys, allowedSubjects=["ann"]), settings)):
        assert "everySubject" not in stricter.document(())


def test_other_audiences_come_after_the_endpoint(settings: IssuerSettings) -> None:
    found = authorize(app(audiences=["urn:tools", "https://tools.acme.dev/assistant/mcp"]), settings)
    assert found.audiences == ("https://tools.acme.dev/assistant/mcp", "urn:tools")


@pytest.mark.parametrize(
    ("route", "url", "expected"),
    [
        ({"host": "tools.acme.dev"}, None, "https://tools.acme.dev"),
        ({"host": "tools.acme.dev", "path": "/a"}, "https://other.dev:8443/b", "https://other.dev:8443/b"),
        (None, "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        (None, "http://[::1]:3000", "http://[::1]:3000"),
        (
            {"host": "tools.acme.dev", "tls": {"enabled": False}},
            "https://tools.acme.dev",
            "https://tools.acme.dev",
        ),
    ],
)
def test_the_issuer_is_the_apps_public_url(
    settings: IssuerSettings, route: Any, url: str | None, expected: str
) -> None:
    login = USERS if url is None else {**USERS, "url": url}
    assert authorize(app(route=route, login=login), settings).issuer == expected


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (None, "write route, or auth.login.url"),
        ({"host": "tools.acme.dev", "tls": {"enabled": False}}, "is not encrypted"),
    ],
)
def test_a_login_that_nobody_reaches_safely_is_not_deployed(
    settings: IssuerSettings, route: Any, words: str
) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        authorize(app(route=route), settings)
    assert caught.value.field == "spec.auth.login.url"


def test_a_missing_secret_says_its_field(settings: IssuerSettings) -> None:
    with pytest.raises(FtlError) as caught:
        authorize(app(login={**USERS, "secretRef": {"name": "own"}}), settings)
    assert caught.value.field == "spec.auth.login.secretRef"
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    assert "own/jwks" in caught.value.message
    assert "ftl-operator login secret" in str(caught.value)


PUBLIC = KEYS[0].public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": {}}',
        '{"keys": []}',
        '{"keys": [1]}',
        "[" * 100_000,
        json.dumps({"keys": [PUBLIC] * 100}),
        json.dumps({"keys": [jwk("RS256")]}),
        json.dumps({"keys": [PUBLIC, jwk("ES384")]}),
        json.dumps({"keys": [{**PUBLIC, "kid": ""}]}),
        json.dumps({"keys": [{**PUBLIC, "use": "enc"}]}),
        json.dumps({"keys": [{**PUBLIC, "x": PUBLIC["x"][:-2]}]}),
        json.dumps({"keys": [{**PUBLIC, "d": KEYS[0].sign["d"]}]}),
        keys_text(KEYS),
    ],
)
def test_unusable_public_keys_are_refused_without_a_part_of_them(text: str) -> None:
    assert public_keys(jwks_text(KEYS))
    with pytest.raises(SpecError) as caught:
        public_keys(text)
    assert "ftl-operator login secret" in caught.value.message
    assert KEYS[0].sign["d"] not in caught.value.message


def test_a_rotation_keeps_what_was_signed_valid() -> None:
    first = new_keys()
    second = rotated(first)
    third = rotated(second)
    assert [key.state for key in second] == ["previous", "current", "next"]
    assert second[1].kid == first[1].kid, "the gateway knows the new key before it signs"
    assert [key.kid for key in third][:2] == [second[1].kid, second[2].kid]
    assert first[0].kid not in {key.kid for key in third}
    assert len({new_key("next").kid for _ in range(8)}) == 8


UPSTREAM = {"clientId": "ftl", "secretRef": {"name": "id", "key": "secret"}}
METADATA = {
    "authorization_endpoint": f"https://{HOST}/authorize",
    "token_endpoint": f"https://{HOST}/token",
    "id_token_signing_alg_values_supported": ["HS256", "ES256", "RS256"],
}


@pytest.fixture
def behind(issuer: LiveIssuer) -> Callable[..., FtlApp]:
    """An app with a login before the live issuer."""
    issuer.publish(jwk("RS256"), **METADATA)

    def build(**upstream: Any) -> FtlApp:
        given = {"issuer": issuer.url, **UPSTREAM, **upstream}
        return app(login={"upstream": given}, allowedSubjects=["ann@acme.dev"])

    return build


def test_a_provider_is_checked_before_anybody_is_sent_there(
    settings: IssuerSettings, issuer: LiveIssuer, behind: Callable[..., FtlApp]
) -> None:
    found = authorize(behind(subject="sub"), settings)
    assert found.login is not None
    assert found.login.upstream is not None
    assert found.login.upstream.document() == {
        "issuer": issuer.url,
        "clientId": "ftl",
        "scopes": ["openid", "email"],
        "subjectClaim": "sub",
        "authorizationEndpoint": f"https://{HOST}/authorize",
        "tokenEndpoint": f"https://{HOST}/token",
        "jwksUri": f"{issuer.url}/keys",
        "algorithms": ["RS256"],
        "name": HOST,
    }
    assert found.outbound_urls[-2:] == (f"https://{HOST}/token", f"{issuer.url}/keys")
    assert found.jwks_uri is None, "the gateway itself asks nobody"
    assert "everySubject" not in found.document(()), "anybody may have an account there"


def test_a_provider_is_asked_once_in_a_while(
    settings: IssuerSettings, issuer: LiveIssuer, behind: Callable[..., FtlApp]
) -> None:
    now = [1000.0]
    preflight = Preflight(settings, no_policy, clock=lambda: now[0])
    secrets = Secrets(case_login=jwks_text(KEYS))
    for _ in range(3):
        preflight.authorize(behind(), no_config_map, secrets)
    assert len(issuer.asked) == 2
    now[0] += CHECKED_SECONDS
    preflight.authorize(behind(), no_config_map, secrets)
    assert len(issuer.asked) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"authorization_endpoint": None}, "names no authorization_endpoint"),
        ({"token_endpoint": None}, "names no token_endpoint"),
        ({"token_endpoint": f"http://{HOST}/token"}, "is not HTTPS"),
        ({"id_token_signing_alg_values_supported": ["HS256"]}, "no key at"),
        ({"id_token_signing_alg_values_supported": ["ES256"]}, "no key at"),
        ({"issuer": "https://other.dev"}, "spec.auth.login.upstream.issuer must be exactly that"),
    ],
)
def test_a_provider_that_does_not_fit_is_refused(
    settings: IssuerSettings,
    issuer: LiveIssuer,
    behind: Callable[..., FtlApp],
    changes: dict[str, Any],
    words: str,
) -> None:
    fitting = behind()
    authorize(fitting, settings)
    given = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    issuer.publish(jwk("RS256"), **given)
    with pytest.raises(IssuerError, match=words) as caught:
        authorize(fitting, settings)
    assert caught.value.field == "spec.auth.login.upstream.issuer"


def test_a_provider_that_the_settings_do_not_allow_is_not_asked(
    settings: IssuerSettings, issuer: LiveIssuer, behind: Callable[..., FtlApp]
) -> None:
    with pytest.raises(IssuerError) as caught:
        authorize(behind(issuer="https://elsewhere.dev"), settings)
    assert caught.value.reason is Reason.ISSUER_NOT_ALLOWED
    assert not issuer.asked


STORES = {
    "keyValueStores": [
        {"name": "default", "type": "redis", "options": [{"name": "url", "value": "redis://r"}]}
    ]
}
FILES = {"keyValueStores": [{"name": "default", "type": "spin"}]}


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ({}, ""),
        ({"replicas": 1}, ""),
        ({"replicas": 2}, "up to 2 pods run"),
        ({"replicas": 2, "runtimeConfig": FILES}, "up to 2 pods run"),
        ({"replicas": 2, "runtimeConfig": STORES}, ""),
        ({"replicas": 2, "runtimeConfig": {"loadFromSecret": "config"}}, ""),
        (
            {"autoscaling": {"maxReplicas": 3, "cpu": 50}, "resources": {"requests": {"cpu": "1"}}},
            "up to 3 pods run",
        ),
    ],
)
def test_pods_without_a_store_in_common_are_told_of(runtime: dict[str, Any], words: str) -> None:
    found = login_warnings(app(spec={"runtime": runtime}))
    assert [words in warning for warning in found] == ([True] if words else [])


def test_tools_that_can_make_the_login_forget_are_told_of() -> None:
    tools = [
        {"name": "notes", "image": "r.io/a:1", "keyValueStores": ["default"]},
        {"name": "mail", "image": "r.io/a:1", "keyValueStores": ["other"]},
    ]
    (warning,) = login_warnings(app(spec={"tools": tools}))
    assert warning.startswith("notes may write")
