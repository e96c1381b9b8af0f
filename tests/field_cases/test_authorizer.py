"""Field cases of tokens, keys and claims, on the committed gateway and beside the operator's preflight."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from ftl_operator.cli.api_keys import key_line, new_key
from ftl_operator.errors import IssuerError
from ftl_operator.host import Code, Request
from ftl_operator.issuer.keys import check_keys
from tests.auth.live_issuer import KEYS, LiveIssuer, jwk, live_issuer
from tests.support.lone_gateway import Place, ping, running, status_of

AUDIENCE = "https://tools.acme.dev/mcp"
RSA = jwk("RS256")


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[LiveIssuer]:
    with live_issuer(tmp_path, tls=False) as live:
        live.document("/keys", {"keys": [RSA]})
        yield live


def rules(issuer: LiveIssuer, **changes: Any) -> dict[str, Any]:
    return {
        "access": "private",
        "audiences": [AUDIENCE],
        "jwksUri": f"{issuer.url}/keys",
        "algorithms": ["RS256"],
        "allowedSubjects": ["alice"],
        **changes,
    }


def token(header: dict[str, Any] | None = None, **claims: Any) -> tuple[str, bytes]:
    now = int(time.time())
    payload = {"aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600, **claims}
    payload = {name: value for name, value in payload.items() if value is not ...}
    headers = {"kid": "rs256", **(header or {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    encoded = jwt.encode(payload, KEYS["RS256"], "RS256", headers)
    return "authorization", f"Bearer {encoded}".encode()


def other_alphabet(text: str) -> str:
    """A number in the alphabet of plain base64, with one of the letters that differ."""
    raw = base64.urlsafe_b64decode(text + "==")
    return base64.b64encode(raw).decode().rstrip("=").replace("A", "+", 1)


N = RSA["n"]
SETS: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "4 kid null": ([{**RSA, "kid": None}], True),
    "4 kid null beside a good key": ([{**RSA, "kid": None}, RSA], True),
    "4 alg null": ([{**RSA, "alg": None}], True),
    "4 kid a number": ([{**RSA, "kid": 1}], False),
    "4 kid a number beside a good key": ([{**RSA, "kid": 1}, RSA], True),
    "4 alg a list beside a good key": ([{**RSA, "alg": ["RS256"]}, RSA], True),
    "4 n padded": ([{**RSA, "n": N + "=" * (-len(N) % 4)}], True),
    "4 e padded": ([{**RSA, "e": "AQAB=="}], True),
    "4 n in plain base64": ([{**RSA, "n": other_alphabet(N)}], False),
    "4 n in plain base64 beside a good key": ([{**RSA, "n": other_alphabet(N)}, RSA], True),
    "5 use null": ([{**RSA, "use": None}], True),
    "5 key_ops null": ([{**RSA, "key_ops": None}], True),
    "5 key_ops empty": ([{**RSA, "key_ops": []}], True),
    "5 d and k null": ([{**RSA, "d": None, "k": None}], True),
    "5 every member of .NET null": (
        [{**RSA, **dict.fromkeys(("alg", "crv", "d", "dp", "k", "key_ops", "oth", "x", "x5c", "y"))}],
        True,
    ),
    "5 d present": ([{**RSA, "d": "AQAB"}], False),
    "5 use enc": ([{**RSA, "use": "enc"}], False),
    "5 key_ops without verify": ([{**RSA, "key_ops": ["encrypt"]}], False),
}


@pytest.mark.parametrize("case", SETS)
def test_a_jwk_is_read_alike_by_gateway_and_preflight(case: str, issuer: LiveIssuer, tmp_path: Path) -> None:
    keys, is_usable = SETS[case]
    issuer.document("/keys", {"keys": keys})
    lines: list[str] = []
    with running(Place(), rules(issuer), tmp_path, lambda _, line: lines.append(str(line))) as app:
        # A token that names a key is not tried with one that has no name.
        names_none = all(key["kid"] is None for key in keys)
        status = status_of(app, token({"kid": None} if names_none else {}))
    assert status == (200 if is_usable else 503)
    if not is_usable:
        (told,) = [json.loads(line) for line in lines if "issuer_keys" in line]
        assert told["error"].startswith("none of its 1 keys is usable; the first: ")
    try:
        check_keys({"keys": keys}, ("RS256",), "the keys")
    except IssuerError:
        assert not is_usable
    else:
        assert is_usable


REFUSED: dict[str, tuple[str, Callable[[], tuple[str, bytes]]]] = {
    "18 no aud (Cognito)": ("audience", lambda: token(aud=..., client_id="1h57kf5cpq17m0eml12EXAMPLE")),
    "19 no sub": ("subject", lambda: token(sub=...)),
    "19 aud with a slash": ("audience", lambda: token(aud=f"{AUDIENCE}/")),
    "19 another typ": ("type", lambda: token({"typ": "acme+jwt"})),
    "19 nbf 90 s ahead": ("not_yet_valid", lambda: token(nbf=int(time.time()) + 90)),
    "19 expired": ("expired", lambda: token(exp=int(time.time()) - 90)),
    "19 another subject": ("subject", lambda: token(sub="bob")),
    "19 no token": ("absent", lambda: ("x-none", b"1")),
    "19 an unknown key": ("key", lambda: token({"kid": "other"})),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_its_word_in_the_log_and_in_the_metrics(
    case: str, issuer: LiveIssuer, tmp_path: Path
) -> None:
    word, credential = REFUSED[case]
    lines: list[str] = []
    with running(Place(), rules(issuer), tmp_path, lambda _, line: lines.append(str(line))) as app:
        answer = ping(app, credential())
        body = answer.read().decode()
        assert answer.status in (401, 403)
        (told,) = [json.loads(line) for line in lines if '"refused"' in line]
        assert told == {"event": "refused", "app": "demo", "reason": word, "status": answer.status}
        assert "not_yet_valid" not in body
        assert "audience" not in body
        shown = app.handle(Request("GET", "/metrics", ())).read().decode()
        assert f'ftl_app_refused_total{{reason="{word}"}} 1' in shown.splitlines()
        assert status_of(app, token()) == 200


def test_17_a_scope_is_asked_for_by_another_name_than_it_is_checked_by(
    issuer: LiveIssuer, tmp_path: Path
) -> None:
    auth = rules(
        issuer,
        requiredScopes=["mcp.read"],
        scopesSupported=["mcp.read"],
        advertisedScopes=["api://3fa8/mcp.read"],
    )
    with running(Place(), auth, tmp_path) as app:
        assert status_of(app, token(scp="mcp.read")) == 200
        answer = ping(app, token(scp="api://3fa8/mcp.read"))
        assert answer.status == 403
        challenge = dict(answer.headers)["www-authenticate"].decode()
        assert 'scope="api://3fa8/mcp.read"' in challenge


ORGANIZATIONS: dict[str, tuple[Any, bool]] = {
    "20 Keycloak with ids": ({"acme": {"id": "42"}}, True),
    "20 Keycloak without ids": ({"acme": {}}, True),
    "20 Keycloak's list": (["acme", "other"], True),
    "20 a list of objects by id": ([{"id": "acme"}], True),
    "20 a list of objects by name": ([{"id": "42", "name": "acme"}], True),
    "20 a list of objects by alias": ([{"id": "42", "alias": "acme"}], True),
    "20 an object": ({"id": "acme", "name": "Acme Inc."}, True),
    "20 another organization": ({"other": {"id": "acme"}}, False),
    "20 a list of others": ([{"id": "42", "name": "other", "parent": "acme"}], False),
    "20 none": ({}, False),
    "20 said to be false": ({"acme": False}, False),
}


@pytest.mark.parametrize("case", ORGANIZATIONS)
def test_an_organization_is_known_in_each_form(case: str, issuer: LiveIssuer, tmp_path: Path) -> None:
    claim, belongs = ORGANIZATIONS[case]
    organization = {"claim": "organization", "value": "acme", "members": []}
    auth = rules(issuer, access="org", allowedSubjects=[], organization=organization)
    with running(Place(), auth, tmp_path) as app:
        assert status_of(app, token(organization=claim)) == (200 if belongs else 403)


def test_a_call_with_an_api_key_costs_no_more_than_one_with_a_remembered_token(
    issuer: LiveIssuer, tmp_path: Path
) -> None:
    key = new_key()
    lines = [str(key_line(new_key(), f"other-{number}")) for number in range(49)]
    place = Place(variables={"api_keys": "\n".join([*lines, str(key_line(key, "alice", ["mcp:tools"]))])})
    with running(place, rules(issuer, apiKeys=True), tmp_path, code=Code.METERED) as app:

        def cost(*headers: tuple[str, bytes]) -> int:
            answers = [ping(app, *headers) for _ in range(3)]
            assert [answer.status for answer in answers] == [200, 200, 200]
            answers[-1].read()
            return int(answers[-1].fuel[-1])

        assert cost(("x-api-key", key.encode())) <= cost(token(scope="mcp:tools", client_id="desktop"))
