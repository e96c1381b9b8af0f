"""A token issuer as it presents itself: its metadata and its keys, checked against what a spec accepts.

Sources: OpenID Connect Discovery 1.0 §4, RFC 8414 §3 (metadata, and that its `issuer` is the one asked for),
RFC 7517 and RFC 7518 §6 (keys), RFC 8037 (Ed25519). The rules for keys are the gateway's own: what passes
here verifies there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ftl_operator.errors import IssuerError, Reason, SpecError
from ftl_operator.issuer.fetch import IssuerSettings, checked_url, get_json
from ftl_operator.settings import host_allowed

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_KEYS = 64
"""As many keys of a set as the gateway looks at."""

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
PUBLIC_MEMBERS = ("alg", "crv", "e", "key_ops", "kid", "kty", "n", "use", "x", "y")

ClusterDocument = Callable[[str], Mapping[str, Any]]
"""GETs a path of the cluster's API server; raises ClusterError."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """What was found.

    Args:
        jwks_uri: Where the gateway fetches keys; None if `jwks` are to be fixed.
        jwks: Keys for the gateway to take as they are: those of an issuer that it cannot reach.
        metadata: URL of the issuer's metadata, if they were needed.
        warnings: What works now and may stop working.
    """

    jwks_uri: str | None
    jwks: Mapping[str, Any] | None = None
    metadata: str | None = None
    warnings: tuple[str, ...] = ()


def find_issuer(
    issuer: str | None, jwks_uri: str | None, algorithms: Sequence[str], settings: IssuerSettings
) -> Issuer:
    """Ask an issuer for its metadata (unless `jwks_uri` is given) and its keys.

    Raises:
        IssuerError: It may not be asked, does not answer, or its documents or keys do not fit.
    """
    metadata = None
    field = "spec.auth.issuer" if jwks_uri is None else "spec.auth.jwksUri"
    _check_allowed(issuer if jwks_uri is None else jwks_uri, settings, field)
    if issuer is not None and jwks_uri is not None:
        _check_allowed(issuer, settings, "spec.auth.issuer")
    if jwks_uri is None:
        metadata, described = _metadata(issuer or "", settings)
        jwks_uri = str(described["jwks_uri"])
    document = get_json(jwks_uri, settings, field)
    if document is None:
        raise IssuerError(f"there are no keys at {jwks_uri}", reason=Reason.ISSUER_INVALID, field=field)
    return Issuer(jwks_uri, None, metadata, check_keys(document, algorithms, jwks_uri))


def find_cluster_issuer(issuer: str, algorithms: Sequence[str], get: ClusterDocument) -> Issuer | None:
    """The cluster's own issuer of ServiceAccount tokens with its keys, if `issuer` is that; else None.

    Pods cannot reach it with a trust that Spin has, so the gateway gets the keys themselves.

    Raises:
        ClusterError: The API server does not show its documents.
        IssuerError: Its keys do not fit the algorithms.
    """
    if get("/.well-known/openid-configuration").get("issuer") != issuer:
        return None
    document = get("/openid/v1/jwks")
    warnings = check_keys(document, algorithms, "the cluster's key set")
    keys = [
        {name: key[name] for name in PUBLIC_MEMBERS if name in key}
        for key in _keys(document)
        if set(key_algorithms(key)) & set(algorithms)
    ]
    return Issuer(None, {"keys": sorted(keys, key=lambda key: str(key.get("kid", "")))}, None, warnings)


def check_keys(document: Mapping[str, Any], algorithms: Sequence[str], where: str) -> tuple[str, ...]:
    """Check that a key set has a key for an accepted algorithm; gives warnings about the others.

    Raises:
        IssuerError: It has none.
    """
    fitting = [key_algorithms(key) for key in _keys(document)]
    offered = sorted({name for names in fitting for name in names})
    if not set(offered) & set(algorithms):
        raise IssuerError(
            f"no key at {where} fits {', '.join(algorithms)}; its keys fit {', '.join(offered) or 'nothing'}",
            reason=Reason.ISSUER_INVALID,
            field="spec.auth.algorithms",
        )
    # An issuer shows its next key before it signs with it: that is the time to accept its algorithm.
    foreign = sorted({names[0] for names in fitting if names and not set(names) & set(algorithms)})
    return tuple(
        f"a key at {where} is for {name}, which spec.auth.algorithms does not accept; tokens signed with it"
        " will be refused"
        for name in foreign
    )


def check_public_key(pem: str, algorithms: Sequence[str]) -> None:
    """Check a static key. Raises SpecError unless it fits an accepted algorithm."""
    field = "spec.auth.publicKey"
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SpecError("this is not a public key in PEM", field=field) from None
    fitting = _algorithms_of(key)
    if not set(fitting) & set(algorithms):
        kinds = ", ".join(fitting) or "no supported algorithm (RSA needs 2048 bits)"
        raise SpecError(f"the key fits {kinds}, not {', '.join(algorithms)}", field=field)


def key_algorithms(key: Mapping[str, Any]) -> tuple[str, ...]:
    """The algorithms that a member of a key set verifies in the gateway; empty if it is of no use there."""
    operations = key.get("key_ops", ["verify"])
    if key.get("use", "sig") != "sig" or "d" in key or "k" in key:
        return ()
    if not isinstance(operations, list) or "verify" not in operations:
        return ()
    try:
        material = jwt.PyJWK({**key}, algorithm=_any_algorithm(key)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return ()
    declared = {"Ed25519": "EdDSA"}.get(str(key.get("alg")), key.get("alg"))
    return tuple(name for name in _algorithms_of(material) if declared in (None, name))


def _any_algorithm(key: Mapping[str, Any]) -> str:
    curves = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "EdDSA"}
    return "RS256" if key.get("kty") == "RSA" else curves[str(key.get("crv"))]


def _algorithms_of(key: object) -> tuple[str, ...]:
    match key:
        case RSAPublicKey() if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return RSA_ALGORITHMS
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return ("ES256",)
        case EllipticCurvePublicKey(curve=SECP384R1()):
            return ("ES384",)
        case Ed25519PublicKey():
            return ("EdDSA",)
        case _:
            return ()


def _keys(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    keys = document.get("keys")
    for key in keys[:MAX_KEYS] if isinstance(keys, list) else ():
        if isinstance(key, dict):
            yield key


def _check_allowed(url: str | None, settings: IssuerSettings, field: str) -> None:
    parts = checked_url(url or "", settings, field)
    if not host_allowed(parts.netloc, settings.allowed):
        raise IssuerError(
            f"the operator's settings do not allow the issuer {parts.netloc}",
            reason=Reason.ISSUER_NOT_ALLOWED,
            field=field,
        )


def _metadata(issuer: str, settings: IssuerSettings) -> tuple[str, dict[str, Any]]:
    field = "spec.auth.issuer"
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    # OpenID Connect appends its well-known path; RFC 8414 inserts its own before the issuer's path.
    for url in (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    ):
        document = get_json(url, settings, field)
        if document is None:
            continue
        if document.get("issuer") != issuer:
            raise IssuerError(
                f"{url} is of the issuer {str(document.get('issuer'))[:200]!r}; write exactly that",
                reason=Reason.ISSUER_INVALID,
                field=field,
            )
        for name in ("jwks_uri", "authorization_endpoint", "token_endpoint", "registration_endpoint"):
            if name in document or name == "jwks_uri":
                checked_url(str(document.get(name, "")), settings, field)
        return url, document
    raise IssuerError(
        f"{issuer} has no metadata (OpenID Connect Discovery or RFC 8414); write spec.auth.jwksUri",
        reason=Reason.ISSUER_INVALID,
        field=field,
    )
