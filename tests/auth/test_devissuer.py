"""The local issuer: its tokens verify, its key stays with its owner, an adjusted app keeps its rules."""

import stat
import urllib.error
import urllib.request
from pathlib import Path

import jwt
import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.cli.dev_issuer import DevIssuer, grant_for
from ftl_operator.errors import SpecError
from ftl_operator.issuer.fetch import IssuerClient, IssuerSettings
from ftl_operator.issuer.metadata import find_issuer
from tests.support.specs import ftlapp

AUDIENCE = "https://tools.acme.dev/mcp"


def app(access: str, **auth: object) -> FtlApp:
    return FtlApp.parse(
        ftlapp(
            {"access": access, "auth": {"issuer": "https://login.acme.dev", "audiences": [AUDIENCE], **auth}}
        )
    )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384"])
def test_tokens_verify_with_the_published_keys(tmp_path: Path, algorithm: str) -> None:
    with DevIssuer(tmp_path, algorithm).start() as issuer:
        assert issuer.url.startswith("http://127.0.0.1:")
        token = issuer.mint("ann", AUDIENCE, ["mcp:tools", "mail"], 60, {"org_id": "org_42"})
        key = jwt.PyJWKClient(issuer.jwks_uri).get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, [algorithm], audience=AUDIENCE, issuer=issuer.url)
        assert claims["sub"] == "ann"
        assert claims["scope"] == "mcp:tools mail"
        assert claims["org_id"] == "org_42"
        assert claims["exp"] - claims["iat"] == 60
        assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
        found = find_issuer(issuer.url, None, (algorithm,), IssuerClient(IssuerSettings(developing=True)))
        assert found.jwks_uri == issuer.jwks_uri


def test_the_key_is_its_owners_and_outlives_a_restart(tmp_path: Path) -> None:
    with DevIssuer(tmp_path / "state").start() as issuer:
        first = issuer.jwks()
        url = issuer.url
    for path in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with DevIssuer(tmp_path / "state").start() as issuer:
        assert issuer.jwks() == first
        assert issuer.url == url
    assert "d" not in first["keys"][0]


def test_another_process_mints_for_a_running_issuer(tmp_path: Path) -> None:
    with DevIssuer(tmp_path).start() as issuer:
        token = DevIssuer(tmp_path).mint("ann", AUDIENCE)
        key = jwt.PyJWKClient(issuer.jwks_uri).get_signing_key_from_jwt(token)
        assert jwt.decode(token, key, ["RS256"], audience=AUDIENCE)["iss"] == issuer.url


def test_without_a_running_issuer_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="up --dev-issuer"):
        DevIssuer(tmp_path).mint("ann", AUDIENCE)


def test_two_issuers_do_not_fight_for_a_port(tmp_path: Path) -> None:
    with DevIssuer(tmp_path).start() as first:
        url = first.url
        with DevIssuer(tmp_path).start() as second:
            assert second.url != url


def test_unknown_paths_are_not_found(tmp_path: Path) -> None:
    with DevIssuer(tmp_path).start() as issuer, pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{issuer.url}/{issuer.url}", timeout=5)


def test_an_adjusted_app_keeps_its_rules(tmp_path: Path) -> None:
    before = app("private", allowedSubjects=["ann"], requiredScopes=["mcp:tools"], algorithms=["ES384"])
    with DevIssuer(tmp_path).start() as issuer:
        after = issuer.adjust(before)
        assert after.spec.auth.issuer == issuer.url
        assert after.spec.auth.jwks_uri == issuer.jwks_uri
        assert [name.value for name in after.spec.auth.algorithms] == ["RS256"]
        assert after.spec.auth.allowed_subjects == ("ann",)
        assert after.spec.auth.audiences == before.spec.auth.audiences
        assert after.spec.tools == before.spec.tools
        assert before.spec.auth.issuer == "https://login.acme.dev"


def test_a_grant_passes_the_rules_of_its_app() -> None:
    assert grant_for(app("private", allowedSubjects=["ann", "bob"])).subject == "ann"
    member = grant_for(app("org", organization={"value": "org_42", "members": ["carol"]}))
    assert (member.subject, member.claims) == ("carol", {})
    machine = grant_for(app("org", organization={"claim": "tenant", "value": "t1"}))
    assert machine.claims == {"tenant": "t1"}
    scoped = app("private", allowedSubjects=["ann"], requiredScopes=["mcp:tools"])
    assert grant_for(scoped).scopes == ("mcp:tools",)
    with pytest.raises(SpecError):
        grant_for(FtlApp.parse(ftlapp({"access": "public", "auth": None})))


def test_an_app_with_a_login_needs_no_other_issuer(tmp_path: Path) -> None:
    login = {"users": {"secretRef": {"name": "people", "key": "users"}}}
    people = FtlApp.parse(ftlapp({"access": "private", "auth": {"login": login}}))
    with pytest.raises(SpecError, match="leave --dev-issuer out"):
        DevIssuer(tmp_path).adjust(people)
    with pytest.raises(SpecError, match="log in there"):
        grant_for(people)
