"""Public keys of an issuer: the algorithms that a key can verify in the gateway. Pure.

Sources: RFC 7517 (JWK), RFC 7518 §6 (RSA, EC) and RFC 8037 (Ed25519). The rules are the gateway's own
(`authorizer/src/keys.rs`), so that a key that passes here also works there:

- a null member counts as absent, because some serializers write it; so does an empty `key_ops`;
- a member whose type differs from RFC 7517 makes its key unusable, not the whole set;
- numbers are base64url (RFC 7518 §2). Padding is accepted, the alphabet of plain base64 is not.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ftl_operator.errors import IssuerError, Reason, SpecError

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_KEYS = 64
"""How many keys of a set the gateway reads."""
MAX_DEPTH = 8
"""The deepest nesting of a set that the gateway reads."""

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
PUBLIC_MEMBERS = ("alg", "crv", "e", "key_ops", "kid", "kty", "n", "use", "x", "y")

_BASE64URL = re.compile(r"([A-Za-z0-9_-]+)={0,2}")
_PLAIN_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_MAX_EXPONENT_BYTES = 8

Key = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class _UnusableKeyError(ValueError):
    """A member of a key set that the gateway cannot use. The message says why."""


def check_keys(document: Mapping[str, Any], algorithms: Sequence[str], where: str) -> tuple[str, ...]:
    """Check that a key set has a key for an accepted algorithm. Returns warnings about the other keys.

    Raises:
        IssuerError: There is no such key.
    """
    if _depth(document) > MAX_DEPTH:
        raise IssuerError(
            f"the key set at {where} is nested deeper than {MAX_DEPTH} levels",
            reason=Reason.ISSUER_INVALID,
            field="spec.auth.issuer",
        )
    fitting: list[tuple[str, ...]] = []
    problem = ""
    for key in members(document):
        try:
            fitting.append(_algorithms_of_member(key))
        except _UnusableKeyError as error:
            problem = problem or f"; the first that is not usable: {error}"
    offered = sorted({name for names in fitting for name in names})
    if not set(offered) & set(algorithms):
        raise IssuerError(
            f"no key at {where} fits {', '.join(algorithms)}; its keys fit {', '.join(offered) or 'nothing'}"
            + problem,
            reason=Reason.ISSUER_INVALID,
            field="spec.auth.algorithms",
        )
    # An issuer publishes its next key before it uses it. So the warning comes in time to accept its
    # algorithm.
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
    """The algorithms that a member of a key set can verify in the gateway; empty if it cannot be used."""
    try:
        return _algorithms_of_member(key)
    except _UnusableKeyError:
        return ()


def public_members(key: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a key set's member that the gateway reads."""
    return {name: key[name] for name in PUBLIC_MEMBERS if key.get(name) is not None}


def members(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The members of a key set that the gateway reads."""
    keys = document.get("keys")
    for key in keys[:MAX_KEYS] if isinstance(keys, list) else ():
        if isinstance(key, dict):
            yield key


def _depth(document: object) -> int:
    deepest, waiting = 0, [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, Mapping | list):
            deepest = max(deepest, depth)
            parts = value.values() if isinstance(value, Mapping) else value
            waiting.extend((part, depth + 1) for part in parts)
    return deepest


def _algorithms_of_member(key: Mapping[str, Any]) -> tuple[str, ...]:
    given = {name: value for name, value in key.items() if value is not None}
    operations = given.get("key_ops") or ["verify"]
    if not isinstance(operations, list):
        raise _UnusableKeyError("its key_ops is no list")
    if given.get("use", "sig") != "sig" or "verify" not in operations:
        raise _UnusableKeyError("it is not for verifying signatures")
    if "d" in given or "k" in given:
        raise _UnusableKeyError("it is private")
    _text(given, "kid")
    declared = _text(given, "alg")
    try:
        fitting = _algorithms_of(_material(given))
    except _UnusableKeyError:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise _UnusableKeyError("its numbers are no key") from None
    if not fitting:
        raise _UnusableKeyError(f"RSA needs {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    # RFC 9864 names EdDSA with this curve "Ed25519".
    wanted = "EdDSA" if declared == "Ed25519" else declared
    return tuple(name for name in fitting if wanted in (None, name))


def _material(given: Mapping[str, Any]) -> Key:
    kind, curve = _text(given, "kty"), _text(given, "crv")
    match kind, curve:
        case "RSA", None:
            modulus, exponent = _number(given, "n"), _number(given, "e")
            if len(modulus) > MAX_RSA_BITS // 8 + 1 or len(exponent) > _MAX_EXPONENT_BYTES:
                raise _UnusableKeyError(f"RSA needs {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
            numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
            return numbers.public_key()
        case "EC", "P-256":
            return _point(given, SECP256R1(), 32)
        case "EC", "P-384":
            return _point(given, SECP384R1(), 48)
        case "OKP", "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_number(given, "x"))
        case _:
            raise _UnusableKeyError("its kind or curve is not supported")


def _point(given: Mapping[str, Any], curve: SECP256R1 | SECP384R1, size: int) -> EllipticCurvePublicKey:
    x, y = _number(given, "x"), _number(given, "y")
    if len(x) != size or len(y) != size:
        raise _UnusableKeyError("its coordinates do not have the curve's full length (RFC 7518 §6.2.1.2)")
    return EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise _UnusableKeyError(f"its {name} is no text")
    return value


def _number(given: Mapping[str, Any], name: str) -> bytes:
    text = _text(given, name) or ""
    found = _BASE64URL.fullmatch(text)
    if found is None:
        plain = _PLAIN_BASE64.fullmatch(text) is not None
        why = "is plain base64, where RFC 7518 §2 wants base64url" if plain else "is no base64url"
        raise _UnusableKeyError(f"its {name} {why}")
    bare = found[1]
    decoded = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != bare:
        raise _UnusableKeyError(f"its {name} is no base64url")
    return decoded


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
