"""Issuers: which documents and keys are accepted, and every way in which they can be broken."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ftl_operator.errors import IssuerError, Reason, SpecError
from ftl_operator.hosts import HostPatterns
from ftl_operator.issuer import metadata
from ftl_operator.issuer.fetch import MAX_DOCUMENT_BYTES, IssuerClient, IssuerSettings
from ftl_operator.issuer.keys import MAX_DEPTH, check_public_key, key_algorithms
from ftl_operator.issuer.metadata import Issuer, find_cluster_issuer
from tests.auth.live_issuer import HOST, KEYS, WEAK_RSA, Answer, LiveIssuer, jwk, live_issuer, look_up

RS256 = ("RS256",)
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
MODULUS = jwk("RS256")["n"]


def patterns(*texts: str) -> HostPatterns:
    return HostPatterns.parse(texts)


def find_issuer(
    issuer: str | None, jwks_uri: str | None, algorithms: Sequence[str], settings: IssuerSettings
) -> Issuer:
    return metadata.find_issuer(issuer, jwks_uri, algorithms, IssuerClient(settings))


def refused(issuer: LiveIssuer, settings: IssuerSettings, reason: Reason, *algorithms: str) -> str:
    with pytest.raises(IssuerError) as caught:
        find_issuer(issuer.url, None, algorithms or RS256, settings)
    assert caught.value.reason is reason, caught.value
    assert caught.value.field.startswith("spec.auth.")
    return str(caught.value)


def test_openid_metadata_leads_to_the_keys(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    found = find_issuer(issuer.url, None, RS256, settings)
    assert found.jwks_uri == f"{issuer.url}/keys"
    assert found.metadata == f"{issuer.url}{OPENID}"
    assert found.warnings == ()
    assert issuer.asked == [OPENID, "/keys"]
    assert set(issuer.seen_hosts) == {f"{HOST}:{issuer.port}"}, (
        "the name, though the address was connected to"
    )


def test_oauth_metadata_of_an_issuer_with_a_path(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    url = f"{issuer.url}/tenant"
    well_known = "/.well-known/oauth-authorization-server/tenant"
    issuer.document(well_known, {"issuer": url, "jwks_uri": f"{issuer.url}/keys"})
    found = find_issuer(url, None, RS256, settings)
    assert found.metadata == issuer.url + well_known
    assert issuer.asked == [f"/tenant{OPENID}", well_known, "/keys"]


def test_a_given_address_of_keys_needs_no_metadata(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    issuer.answers.pop(OPENID)
    found = find_issuer(issuer.url, f"{issuer.url}/keys", RS256, settings)
    assert (found.jwks_uri, found.metadata) == (f"{issuer.url}/keys", None)
    found = find_issuer(None, f"{issuer.url}/keys", RS256, settings)
    assert found.jwks_uri == f"{issuer.url}/keys"


def test_another_issuers_metadata_is_refused(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    issuer.publish(jwk("RS256"), issuer=f"{issuer.url}/")
    message = refused(issuer, settings, Reason.ISSUER_INVALID)
    assert f"{issuer.url}/" in message


@pytest.mark.parametrize("endpoint", ["jwks_uri", "authorization_endpoint", "token_endpoint"])
def test_every_endpoint_is_https(issuer: LiveIssuer, settings: IssuerSettings, endpoint: str) -> None:
    issuer.publish(jwk("RS256"), **{endpoint: f"http://{HOST}/x"})
    assert "not HTTPS" in refused(issuer, settings, Reason.ISSUER_INVALID)


def test_metadata_without_keys_is_refused(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    issuer.document(OPENID, {"issuer": issuer.url})
    refused(issuer, settings, Reason.ISSUER_INVALID)


def test_no_metadata_at_all_asks_for_the_address_of_the_keys(
    issuer: LiveIssuer, settings: IssuerSettings
) -> None:
    issuer.answers.clear()
    assert "spec.auth.jwksUri" in refused(issuer, settings, Reason.ISSUER_INVALID)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(b"", 500), Reason.ISSUER_UNAVAILABLE),
        (Answer(b"", 503), Reason.ISSUER_UNAVAILABLE),
        (Answer(b"", 403), Reason.ISSUER_UNAVAILABLE),
        (Answer(b"", 302, {"Location": "https://evil.example/"}), Reason.ISSUER_INVALID),
        (Answer(b"", 307, {"Location": "/keys2"}), Reason.ISSUER_INVALID),
        (Answer(b"", 404), Reason.ISSUER_INVALID),
        (Answer(b""), Reason.ISSUER_INVALID),
        (Answer(b"<!doctype html>"), Reason.ISSUER_INVALID),
        (Answer(b"[]"), Reason.ISSUER_INVALID),
        (Answer(b'{"keys": [], "keys": []}'), Reason.ISSUER_INVALID),
        (Answer(b"[" * 100_000), Reason.ISSUER_INVALID),
        (Answer(b" " * (MAX_DOCUMENT_BYTES + 1)), Reason.ISSUER_INVALID),
        (Answer(b"{}", headers={"Content-Length": "10"}), Reason.ISSUER_UNAVAILABLE),
        (Answer(b'{"keys": []}'), Reason.ISSUER_INVALID),
        (Answer(b'{"keys": {"a": 1}}'), Reason.ISSUER_INVALID),
    ],
    ids=lambda value: value if isinstance(value, Reason) else f"{value.status}-{value.body[:12]!r}",
)
def test_a_broken_key_set_stops_the_app(
    issuer: LiveIssuer, settings: IssuerSettings, answer: Answer, reason: Reason
) -> None:
    issuer.answers["/keys"] = answer
    refused(issuer, settings, reason)


def test_documents_that_drip_end_at_one_deadline_for_all(
    issuer: LiveIssuer, settings: IssuerSettings
) -> None:
    issuer.answers["/keys"] = Answer(b"{}" + b" " * 10_000, drip_seconds=0.05)
    message = refused(issuer, replace(settings, total=2.0, silence=30.0), Reason.ISSUER_UNAVAILABLE)
    assert "in time" in message


def test_an_issuer_that_is_down_is_tried_again(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    with pytest.raises(IssuerError) as caught:
        find_issuer(f"https://{HOST}:1", None, RS256, settings)
    assert caught.value.reason is Reason.ISSUER_UNAVAILABLE
    assert caught.value.retryable


def test_only_allowed_issuers_are_asked(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    refused(issuer, replace(settings, allowed=patterns("*.acme.dev")), Reason.ISSUER_NOT_ALLOWED)
    assert issuer.asked == []
    with pytest.raises(IssuerError) as caught:
        find_issuer(issuer.url, "https://keys.evil.example/", RS256, settings)
    assert caught.value.reason is Reason.ISSUER_NOT_ALLOWED


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"],
)
def test_a_star_does_not_reach_private_addresses(
    issuer: LiveIssuer, settings: IssuerSettings, address: str
) -> None:
    everyone = replace(settings, allowed=patterns("*"), look_up=look_up(address))
    refused(issuer, everyone, Reason.ISSUER_NOT_ALLOWED)
    assert issuer.asked == []


def test_a_name_that_does_not_resolve(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    with pytest.raises(IssuerError, match="cannot be resolved"):
        find_issuer("https://gone.example", None, RS256, replace(settings, allowed=patterns("gone.example")))


def test_a_certificate_must_be_trusted_and_for_the_name(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    assert "certificate" in refused(issuer, replace(settings, ca_file=None), Reason.ISSUER_UNAVAILABLE)
    by_address = replace(settings, allowed=patterns("127.0.0.1"))
    with pytest.raises(IssuerError, match="certificate"):
        find_issuer(f"https://127.0.0.1:{issuer.port}", None, RS256, by_address)


def test_plain_http_only_where_the_settings_say_so(tmp_path, settings: IssuerSettings) -> None:
    with live_issuer(tmp_path, tls=False) as plain:
        plain.publish(jwk("RS256"))
        named = replace(settings, allowed=patterns("127.0.0.1"))
        assert "not HTTPS" in refused(plain, named, Reason.ISSUER_INVALID)
        allowed = replace(named, plain_http=patterns(f"127.0.0.1:{plain.port}"))
        assert find_issuer(plain.url, None, RS256, allowed).jwks_uri == f"{plain.url}/keys"
        developing = replace(settings, allowed=patterns("*"), developing=True)
        assert find_issuer(plain.url, None, RS256, developing).jwks_uri == f"{plain.url}/keys"


@pytest.mark.parametrize(
    "url",
    ["", "login.acme.dev", "ftp://login.acme.test/", "https://", "https://u@login.acme.test/",
     "https://login.acme.test/#x", "https://login.acme.test:99999/", "https://login.acme.test/\r\nX: y",
     "http://localhost.evil.example/", "https://straße.test/", "https://login.acme.test\\@evil.test/",
     "https://0x7f.1/"],
)  # fmt: skip
def test_urls_that_are_none(settings: IssuerSettings, url: str) -> None:
    client = IssuerClient(replace(settings, developing=True, allowed=patterns("*")))
    with pytest.raises(IssuerError) as caught:
        client.allowed_url(url, "spec.auth.issuer")
    assert caught.value.reason is Reason.ISSUER_INVALID


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "EdDSA"])
def test_keys_fit_their_algorithms_only(issuer: LiveIssuer, settings: IssuerSettings, algorithm: str) -> None:
    issuer.publish(jwk(algorithm))
    assert find_issuer(issuer.url, None, (algorithm,), settings).warnings == ()
    others = [name for name in ("RS256", "ES256", "ES384", "EdDSA") if name != algorithm]
    message = refused(issuer, settings, Reason.ISSUER_INVALID, *others)
    assert "spec.auth.algorithms" in message
    assert algorithm in message


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        (jwk("RS256"), ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (jwk("RS256", alg="PS512"), ("PS512",)),
        (jwk("RS256", use="enc"), ()),
        (jwk("RS256", key_ops=["encrypt"]), ()),
        (jwk("RS256", key_ops=["verify"], alg="RS256"), ("RS256",)),
        (jwk("RS256", d="AQAB"), ()),
        (jwk("RS256", WEAK_RSA), ()),
        (jwk("ES256", alg="RS256"), ()),
        (jwk("EdDSA", alg="Ed25519"), ("EdDSA",)),
        ({"kty": "oct", "k": "c2VjcmV0"}, ()),
        ({"kty": "RSA", "n": "AQAB"}, ()),
        ({"kty": "EC", "crv": "secp256k1"}, ()),
        ({}, ()),
        (jwk("RS256", kid=None, alg=None, use=None, key_ops=None, d=None, k=None, crv=None), RSA),
        (jwk("RS256", key_ops=[]), RSA),
        (jwk("ES256", kid=None, key_ops=[], d=None), ("ES256",)),
        (jwk("RS256", kid=1), ()),
        (jwk("RS256", alg=1), ()),
        (jwk("RS256", use=["sig"]), ()),
        (jwk("RS256", key_ops="verify"), ()),
        (jwk("RS256", crv="P-256"), ()),
        (jwk("RS256", n=MODULUS + "=="), RSA),
        (jwk("RS256", n=MODULUS + "==="), ()),
        (jwk("RS256", n="+/" + MODULUS[2:]), ()),
        (jwk("RS256", n=" " + MODULUS), ()),
        (jwk("RS256", n=1), ()),
        (jwk("RS256", e=None), ()),
        (jwk("RS256", e="AAAAAAAAAAAAAQAB"), ()),
        (jwk("RS256", n="A" * 100_000), ()),
        (jwk("ES256", x="AAAA"), ()),
        (jwk("EdDSA", x="AAAA"), ()),
        (jwk("EdDSA", crv=["Ed25519"]), ()),
    ],
)
def test_what_a_key_is_good_for(key: dict, fits: tuple[str, ...]) -> None:
    assert key_algorithms(key) == fits


def test_a_key_that_is_not_usable_is_explained_and_spoils_no_other(
    issuer: LiveIssuer, settings: IssuerSettings
) -> None:
    broken = jwk("RS256", n=MODULUS[:-4] + "+/+/")
    issuer.publish(broken, jwk("RS256"))
    assert find_issuer(issuer.url, None, RS256, settings).warnings == ()
    issuer.publish(broken, jwk("RS256", kid=1))
    message = refused(issuer, settings, Reason.ISSUER_INVALID)
    assert "its n is plain base64, where RFC 7518 §2 wants base64url" in message


def test_a_set_that_is_nested_deeper_than_the_gateway_reads_is_refused(
    issuer: LiveIssuer, settings: IssuerSettings
) -> None:
    nested: object = "x"
    for _ in range(MAX_DEPTH):
        nested = [nested]
    issuer.publish(jwk("RS256", x5c=nested))
    assert "nested deeper" in refused(issuer, settings, Reason.ISSUER_INVALID)


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(b"{}", status) for status in (400, 401, 403, 404, 405, 406, 410, 418, 429, 500, 501, 503)),
        Answer(b"", 302, {"Location": "https://login.example/"}),
        Answer(b"", 200),
        Answer(b"<!doctype html><title>Log in</title>"),
        Answer(b"[]"),
        Answer(b"null"),
        Answer(b'{"error": "not found"}'),
        Answer(b'{"issuer": "https://other.example"}'),
        Answer(b" " * (MAX_DOCUMENT_BYTES + 1)),
        Answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:12]!r}",
)
def test_whatever_answers_where_no_metadata_are_the_next_place_is_asked(
    issuer: LiveIssuer, settings: IssuerSettings, answer: Answer
) -> None:
    """Field case 6: the message has each place with its answer, and names the way out."""
    issuer.document(OAUTH, {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"})
    issuer.answers[OPENID] = answer
    assert find_issuer(issuer.url, None, RS256, settings).metadata == f"{issuer.url}{OAUTH}"
    issuer.answers[OAUTH] = answer
    with pytest.raises(IssuerError) as caught:
        find_issuer(issuer.url, None, RS256, settings)
    for expected in ("spec.auth.jwksUri", f"{issuer.url}{OPENID}", f"{issuer.url}{OAUTH}"):
        assert expected in caught.value.message
    assert "Log in" not in caught.value.message


@pytest.mark.parametrize(
    "place", ["/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant",
              "/.well-known/openid-configuration/tenant", "/tenant/.well-known/oauth-authorization-server"],
)  # fmt: skip
def test_every_place_of_metadata_of_an_issuer_with_a_path(
    issuer: LiveIssuer, settings: IssuerSettings, place: str
) -> None:
    url = f"{issuer.url}/tenant"
    issuer.document(place, {"issuer": url, "jwks_uri": f"{issuer.url}/keys"})
    assert find_issuer(url, None, RS256, settings).metadata == issuer.url + place


def test_a_silent_place_is_no_reason_to_ask_the_next_one(
    issuer: LiveIssuer, settings: IssuerSettings
) -> None:
    issuer.answers[OPENID] = Answer(b"{", headers={"Content-Length": "10"})
    refused(issuer, settings, Reason.ISSUER_UNAVAILABLE)
    assert issuer.asked == [OPENID]


def test_a_coming_rotation_is_announced(issuer: LiveIssuer, settings: IssuerSettings) -> None:
    issuer.publish(jwk("RS256"), jwk("ES256"))
    (warning,) = find_issuer(issuer.url, None, RS256, settings).warnings
    assert "ES256" in warning
    assert find_issuer(issuer.url, None, ("RS256", "ES256"), settings).warnings == ()


def test_a_static_key_must_fit() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def pem(key) -> str:
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    check_public_key(pem(KEYS["RS256"]), ("PS256",))
    check_public_key(pem(KEYS["EdDSA"]), ("EdDSA",))
    for key, algorithms in ((KEYS["RS256"], ("ES256",)), (WEAK_RSA, ("RS256",)), (KEYS["ES256"], ("ES384",))):
        with pytest.raises(SpecError) as caught:
            check_public_key(pem(key), algorithms)
        assert caught.value.field == "spec.auth.publicKey"
    with pytest.raises(SpecError):
        check_public_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", RS256)


def test_the_clusters_own_issuer_gives_its_keys() -> None:
    url = "https://kubernetes.default.svc.cluster.local"
    private = jwk("RS256", kid="b", x5c=["AAAA"], d=None, alg=None)
    documents = {
        "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": "https://10.0.0.1/openid/v1/jwks"},
        "/openid/v1/jwks": {"keys": [private, jwk("RS256", kid="a"), jwk("RS256", kid="c", use="enc")]},
    }
    found = find_cluster_issuer(url, RS256, documents.__getitem__)
    assert found is not None
    assert found.jwks_uri is None
    assert [key["kid"] for key in found.jwks["keys"]] == ["a", "b"]
    assert all(not {"x5c", "d", "alg"} & set(key) for key in found.jwks["keys"])
    assert find_cluster_issuer("https://other.example", RS256, documents.__getitem__) is None
    with pytest.raises(IssuerError):
        find_cluster_issuer(url, ("ES256",), documents.__getitem__)
