"""Issuers' keys of each algorithm, and tokens signed with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ftl_operator.api.auth import Access, GatewayAuth

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
ISSUER = "https://issuer.example"
AUDIENCE = "https://bench.example/mcp"
SUBJECT = "bench"
KEYS_ALONE: tuple[Mapping[str, Any], GatewayAuth] = (
    {"apiKeys": {"secretRef": {"name": "bench", "key": "keys"}}},
    GatewayAuth(access=Access.PRIVATE, issuer=None, audiences=(), algorithms=(), api_keys=True),
)
"""`spec.auth` of an app that accepts API keys alone, and what the operator would have found of it."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer with one key.

    Args:
        algorithm: The algorithm it signs with.
        key: Its private key.
    """

    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def new(cls, algorithm: str) -> "Issuer":
        """An issuer with a fresh key that fits the algorithm."""
        match algorithm:
            case "ES256":
                return cls(algorithm, ec.generate_private_key(ec.SECP256R1()))
            case "ES384":
                return cls(algorithm, ec.generate_private_key(ec.SECP384R1()))
            case "EdDSA":
                return cls(algorithm, ed25519.Ed25519PrivateKey.generate())
            case _:
                return cls(algorithm, rsa.generate_private_key(65537, 2048))

    def token(self, number: int = 0) -> str:
        """A token that lets in; another one for each number."""
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": SUBJECT,
            "iat": now,
            "exp": now + timedelta(hours=1),
            "jti": str(number),
        }
        return jwt.encode(claims, self.key, self.algorithm)

    @property
    def auth(self) -> tuple[Mapping[str, Any], GatewayAuth]:
        """`spec.auth` for this issuer, and what the operator would have found of it."""
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        spec = {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "publicKey": pem,
            "algorithms": [self.algorithm],
            "allowedSubjects": [SUBJECT],
        }
        checked = GatewayAuth(
            access=Access.PRIVATE,
            issuer=ISSUER,
            audiences=(AUDIENCE,),
            algorithms=(self.algorithm,),
            public_key=pem,
            allowed_subjects=(SUBJECT,),
            authorization_servers=(ISSUER,),
        )
        return spec, checked
