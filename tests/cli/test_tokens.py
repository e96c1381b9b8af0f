"""Which issuer `up` uses for an app: its own, or a local one that replaces it."""

from pathlib import Path

import jwt
import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.cli.tokens import authorization, authorize, dev_issuer
from ftl_operator.errors import IssuerError, SpecError
from tests.support.specs import ftlapp, public

AUTH = {
    "issuer": "https://login.example.com",
    "audiences": ["https://tools.example.com/mcp"],
    "requiredScopes": ["mcp:tools"],
    "allowedSubjects": ["ann@example.com"],
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def private(**auth: object) -> FtlApp:
    return FtlApp.parse(ftlapp({"access": "private", "auth": {**AUTH, **auth}}))


def none(name: str, key: str) -> str:
    raise SpecError(f"{name}/{key}")


def test_a_public_app_needs_nothing() -> None:
    app = public({"name": "a", "image": "ghcr.io/acme/a:1"})
    for use_dev_issuer in (False, True):
        with authorization(None, use_dev_issuer=use_dev_issuer) as found:
            assert found.adjust(app) == app
            assert found.authorize(app, none) is None
            assert found.headers(app) == {}


def test_the_local_issuer_stands_in_for_the_spec_s_and_its_rules_stay() -> None:
    app = private()
    with authorization(None, use_dev_issuer=True) as found:
        adjusted = found.adjust(app)
        assert adjusted.spec.auth.issuer.startswith("http://127.0.0.1:")
        assert adjusted.spec.auth.allowed_subjects == app.spec.auth.allowed_subjects
        assert adjusted.spec.auth.audiences == app.spec.auth.audiences
        judged = found.authorize(adjusted, none)
        assert judged.issuer == adjusted.spec.auth.issuer
        assert judged.jwks_uri == f"{judged.issuer}/jwks"
        word = found.headers(app)["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(word, options={"verify_signature": False})
        assert (claims["sub"], claims["aud"]) == ("ann@example.com", "https://tools.example.com/mcp")
        assert claims["scope"].split() == ["mcp:tools"]
        first = judged.issuer
    # Another run has the same key and, if it is free, the same address, so that a token outlives a restart.
    with authorization(None, use_dev_issuer=True) as found:
        assert found.adjust(app).spec.auth.issuer == first
    assert jwt.decode(dev_issuer().mint("a", "b"), options={"verify_signature": False})["iss"] == first


def test_without_it_the_spec_s_issuer_is_asked() -> None:
    with authorization(None, use_dev_issuer=False) as found:
        app = private(issuer="http://127.0.0.1:1")
        assert found.adjust(app) == app
        assert found.headers(app) == {}
        with pytest.raises(IssuerError, match=r"127\.0\.0\.1:1"):
            found.authorize(app, none)


def test_a_policy_is_checked_by_the_gateway_s_own_engine() -> None:
    rego = "package mcp.authorization\nimport rego.v1\ndefault allow := false\n"
    rego += 'allow if input.token.sub == "ann"\n'
    tests = [
        {"name": "ann may", "input": '{"token": {"sub": "ann"}}', "allow": True},
        {"name": "eve may not", "input": '{"token": {"sub": "eve"}}', "allow": False},
    ]
    with authorization(None, use_dev_issuer=True) as found:
        good = private(policy={"rego": rego}, policyTests=tests)
        assert found.authorize(found.adjust(good), none).policy == rego
        bad = private(policy={"rego": rego}, policyTests=[{**tests[1], "allow": True}])
        with pytest.raises(SpecError, match="eve may not"):
            found.authorize(found.adjust(bad), none)
        broken = private(policy={"rego": "package mcp.authorization\nallow if {"})
        with pytest.raises(SpecError) as caught:
            authorize()(found.adjust(broken), none)
        assert caught.value.reason == "PolicyInvalid"
