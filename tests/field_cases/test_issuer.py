"""Field cases about issuers, by their numbers: what the preflight accepts, and why it refuses."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ftl_operator.errors import IssuerError
from ftl_operator.issuer.keys import check_keys
from tests.auth.live_issuer import jwk

ALGORITHMS = ("RS256", "ES256")
MODULUS = str(jwk("RS256")["n"])
NULLS = dict.fromkeys(("kid", "alg", "use", "key_ops", "d", "k", "p", "q", "x5c", "x5t", "crv", "x", "y"))

TAKEN: Sequence[Any] = [
    pytest.param(jwk("RS256", kid=None), id="4-kid-null"),
    pytest.param(jwk("RS256", alg=None), id="4-alg-null"),
    pytest.param(jwk("RS256", n=MODULUS + "=="), id="4-n-padded"),
    pytest.param(jwk("RS256", e="AQAB=="), id="4-e-padded"),
    pytest.param(jwk("RS256", use=None), id="5-use-null"),
    pytest.param(jwk("RS256", key_ops=None), id="5-key_ops-null"),
    pytest.param(jwk("RS256", key_ops=[]), id="5-key_ops-empty"),
    pytest.param(jwk("RS256", d=None, k=None), id="5-private-members-null"),
    pytest.param(jwk("RS256", **NULLS), id="5-every-optional-member-null"),
    pytest.param(jwk("ES256", n=None, e=None, d=None, kid=None, key_ops=[]), id="5-elliptic-curve"),
]

REFUSED: Sequence[Any] = [
    pytest.param(jwk("RS256", kid=1), "its kid is no text", id="4-kid-number"),
    pytest.param(jwk("RS256", alg=["RS256"]), "its alg is no text", id="4-alg-list"),
    pytest.param(jwk("RS256", n="+/" + MODULUS[2:]), "its n is plain base64", id="4-n-plain-base64"),
    pytest.param(jwk("RS256", n=MODULUS + "==="), "its n is no base64url", id="4-n-padded-too-much"),
    pytest.param(jwk("RS256", n=MODULUS[:9] + "\n" + MODULUS[9:]), "its n is no base64url", id="4-n-wrapped"),
    pytest.param(jwk("RS256", key_ops="verify"), "its key_ops is no list", id="5-key_ops-text"),
    pytest.param(jwk("RS256", key_ops=["encrypt"]), "not for verifying", id="5-key_ops-encrypt"),
    pytest.param(jwk("RS256", d="AQAB"), "it is private", id="5-private"),
]


@pytest.mark.parametrize("key", TAKEN)
def test_a_key_as_the_field_writes_it_is_taken(key: Mapping[str, Any]) -> None:
    assert check_keys({"keys": [key]}, ALGORITHMS, "the set") == ()


@pytest.mark.parametrize(("key", "why"), REFUSED)
def test_a_key_that_is_not_usable_says_why_and_spoils_no_other(key: Mapping[str, Any], why: str) -> None:
    with pytest.raises(IssuerError, match=why):
        check_keys({"keys": [key]}, ALGORITHMS, "the set")
    assert check_keys({"keys": [key, jwk("ES256")]}, ALGORITHMS, "the set") == ()
