"""Makes the Secret of a login: keys that sign its tokens and seal what clients keep. Not pure: it is random.

There are up to three keys: the current one signs and seals, the previous one did so before, and the next one
will. All are published, so a rotation invalidates nothing that was issued since the last one.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ftl_operator.api import kinds
from ftl_operator.api.names import LOGIN_JWKS_KEY, LOGIN_KEYS_KEY
from ftl_operator.errors import SpecError
from ftl_operator.oci.digest import canonical

VERSION = 1
NEXT, CURRENT, PREVIOUS = "next", "current", "previous"
_MEMBERS = ("crv", "d", "kty", "x", "y")


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A key of a login.

    Args:
        kid: Its name, the RFC 7638 thumbprint of the public key.
        state: `next`, `current` or `previous`.
        sign: The private key as a JWK (RFC 7518 §6.2), on P-256.
        seal: 256 random bits in hex.
    """

    kid: str
    state: str
    sign: Mapping[str, str] = field(repr=False)
    seal: str = field(repr=False)

    @property
    def public(self) -> dict[str, str]:
        """The public key as a JWK."""
        shown = {name: value for name, value in self.sign.items() if name != "d"}
        return {**shown, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def document(self) -> dict[str, Any]:
        """The key as the component reads it."""
        return {"kid": self.kid, "state": self.state, "sign": dict(self.sign), "seal": self.seal}


def new_key(state: str) -> LoginKey:
    """Make a new key."""
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    point = {"x": _number(numbers.public_numbers.x), "y": _number(numbers.public_numbers.y)}
    # The members of the thumbprint are in this order (RFC 7638 §3.3).
    public = {"crv": "P-256", "kty": "EC", **point}
    kid = _base64url(hashlib.sha256(canonical(public).encode()).digest())
    return LoginKey(kid, state, {**public, "d": _number(numbers.private_value)}, secrets.token_hex(32))


def new_keys() -> tuple[LoginKey, ...]:
    """Make the keys of a new login: the current one and the next."""
    return new_key(CURRENT), new_key(NEXT)


def rotated(keys: Sequence[LoginKey]) -> tuple[LoginKey, ...]:
    """Make the next key the current one, and keep the current one as the previous. A new next key is made."""
    states = {NEXT: CURRENT, CURRENT: PREVIOUS}
    kept = [replace(key, state=states[key.state]) for key in keys if key.state in states]
    return (*kept, new_key(NEXT))


def read_keys(text: str) -> tuple[LoginKey, ...]:
    """Read the keys of a login.

    Raises:
        SpecError: The text is not what `keys_text` makes. The message has no part of it.
    """
    wrong = SpecError("the keys in the Secret are not those of a login")
    try:
        document = json.loads(text)
        keys = tuple(_read_key(item) for item in document["keys"])
        version = document["version"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise wrong from None
    states = sorted(key.state for key in keys)
    if version != VERSION or states not in ([CURRENT, NEXT], [CURRENT, NEXT, PREVIOUS]):
        raise wrong
    return keys


def keys_text(keys: Sequence[LoginKey]) -> str:
    """The private keys as the component reads them."""
    return canonical({"version": VERSION, "keys": [key.document() for key in keys]})


def jwks_text(keys: Sequence[LoginKey]) -> str:
    """The public keys, for the gateway (RFC 7517 §5)."""
    return canonical({"keys": [key.public for key in keys]})


def login_secret(namespace: str, name: str, keys: Sequence[LoginKey]) -> dict[str, Any]:
    """Make a Secret with these keys; it has no owner yet. An empty namespace is left out."""
    return {
        "apiVersion": kinds.SECRET.api_version,
        "kind": kinds.SECRET.kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "type": "Opaque",
        "stringData": {LOGIN_KEYS_KEY: keys_text(keys), LOGIN_JWKS_KEY: jwks_text(keys)},
    }


def _read_key(item: Mapping[str, Any]) -> LoginKey:
    sign = {name: str(item["sign"][name]) for name in _MEMBERS}
    key = LoginKey(str(item["kid"]), str(item["state"]), sign, str(item["seal"]))
    if (sign["kty"], sign["crv"]) != ("EC", "P-256") or len(bytes.fromhex(key.seal)) != 32:
        raise ValueError
    return key


def _number(value: int) -> str:
    return _base64url(value.to_bytes(32, "big"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
