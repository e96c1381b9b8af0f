"""A token issuer on this machine, to try authorization without an identity provider.

`ftl-operator up --dev-issuer` starts it and accepts its tokens instead of those of the spec's issuer;
`ftl-operator token` mints one. It listens on the loopback address only, and the controller never imports it.
"""

import json
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, Algorithm
from ftl_operator.cli.private_file import write_private
from ftl_operator.errors import SpecError

LOOPBACK = "127.0.0.1"
KEY_FILE = "issuer-key.pem"
ISSUER_FILE = "issuer.json"
DEFAULT_LIFETIME = 3600
"""Seconds."""
SUBJECT = "developer"
"""The subject of a token if the spec names none."""

_CURVES: Mapping[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}


@dataclass(frozen=True, slots=True)
class Grant:
    """The claims of a token."""

    subject: str
    audience: str
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, Any] | None = None


class DevIssuer:
    """An issuer with its key and address in a folder, so that another process can mint its tokens.

    Args:
        state_dir: The folder with the key (readable by its owner only) and the address.
        algorithm: RS256, ES256 or ES384; an existing key of another kind is replaced.
    """

    def __init__(self, state_dir: Path, algorithm: str = "RS256") -> None:
        self._directory = state_dir
        self._algorithm = algorithm
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The issuer's URL. Raises SpecError if it was never started."""
        try:
            return str(json.loads((self._directory / ISSUER_FILE).read_text(encoding="utf-8"))["issuer"])
        except (OSError, ValueError, LookupError, TypeError):
            raise SpecError(
                "there is no local issuer here; start one with 'ftl-operator up --dev-issuer FILE'"
            ) from None

    @property
    def jwks_uri(self) -> str:
        """The URL of its keys."""
        return f"{self.url}/jwks"

    @property
    def algorithm(self) -> str:
        """Its signature algorithm."""
        return self._algorithm

    def start(self) -> Self:
        """Serve metadata and keys, at the previous address if it is free."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._key()
        try:
            port = int(self.url.rpartition(":")[2])
        except (SpecError, ValueError):
            port = 0
        try:
            server = ThreadingHTTPServer((LOOPBACK, port), _handler(self))
        except OSError:
            server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        url = f"http://{LOOPBACK}:{server.server_address[1]}"
        write_private(self._directory / ISSUER_FILE, json.dumps({"issuer": url}).encode())
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.1,), name="dev-issuer", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop serving; the key stays."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self if self._server else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def mint(
        self,
        subject: str,
        audience: str,
        scopes: Sequence[str] = (),
        lifetime: int = DEFAULT_LIFETIME,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Sign an access token (RFC 9068).

        Args:
            subject: `sub`.
            audience: `aud`.
            scopes: `scope`.
            lifetime: Seconds from now.
            claims: Further claims, which may replace the others.
        """
        now = int(time.time())
        payload = {
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_urlsafe(12),
            "client_id": "ftl-operator",
            "scope": " ".join(scopes),
            **(claims or {}),
        }
        key = self._key()
        headers = {"typ": "at+jwt", "kid": self._jwk(key)["kid"]}
        return jwt.encode(payload, key, self._algorithm, headers)

    def mint_for(self, app: FtlApp) -> str:
        """Mint a token that passes the app's rules about subjects, organization and scopes."""
        grant = grant_for(app)
        return self.mint(grant.subject, grant.audience, grant.scopes, claims=grant.claims)

    def adjust(self, app: FtlApp) -> FtlApp:
        """Replace the app's issuer by this one; its rules and audiences stay.

        Raises:
            SpecError: The app is its own issuer.
        """
        auth = app.spec.auth
        if auth is not None and auth.login is not None:
            raise SpecError(
                "the app has a login of its own, which works on this machine: leave --dev-issuer out",
                field="spec.auth.login",
            )
        if auth is None or not auth.accepts_tokens:
            return app
        replaced = {
            "issuer": self.url,
            "jwks_uri": self.jwks_uri,
            "public_key": None,
            "algorithms": (Algorithm(self._algorithm),),
        }
        spec = app.spec.model_copy(update={"auth": auth.model_copy(update=replaced)})
        return app.model_copy(update={"spec": spec})

    def metadata(self) -> dict[str, Any]:
        """The OpenID Connect Discovery document; it has no endpoints to log in."""
        return {
            "issuer": self.url,
            "jwks_uri": self.jwks_uri,
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._algorithm],
        }

    def jwks(self) -> dict[str, Any]:
        """The public key set."""
        return {"keys": [self._jwk(self._key())]}

    def _jwk(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
        converter = jwt.get_algorithm_by_name(self._algorithm)
        jwk: dict[str, Any] = json.loads(converter.to_jwk(key.public_key()))
        jwk.pop("key_ops", None)
        identity = "".join(str(jwk[name]) for name in ("n", "x", "y") if name in jwk)
        return {**jwk, "use": "sig", "alg": self._algorithm, "kid": f"dev-{identity[:16]}"}

    def _key(self) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        path = self._directory / KEY_FILE
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError):
            key = None
        curve = _CURVES.get(self._algorithm)
        if curve is None and isinstance(key, rsa.RSAPrivateKey):
            return key
        if curve and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, curve):
            return key
        fresh = rsa.generate_private_key(65537, 2048) if curve is None else ec.generate_private_key(curve())
        self._directory.mkdir(parents=True, exist_ok=True)
        write_private(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return fresh


def grant_for(app: FtlApp) -> Grant:
    """The claims that pass an app's rules; the app's policy may require more."""
    auth = app.spec.auth
    if auth is None:
        raise SpecError("everyone may call this app; no token is needed", field="spec.access")
    if auth.login is not None:
        raise SpecError("this app has a login of its own: log in there", field="spec.auth.login")
    if not auth.accepts_tokens:
        raise SpecError("this app takes API keys and no token", field="spec.auth")
    subject, claims = SUBJECT, {}
    if auth.allowed_subjects:
        subject = auth.allowed_subjects[0]
    elif app.spec.access is Access.ORG and auth.organization is not None:
        if auth.organization.members:
            subject = auth.organization.members[0]
        else:
            claims[auth.organization.claim] = auth.organization.value
    scopes = [*auth.required_scopes]
    for tool in app.spec.tools:
        scopes += [scope for entry in tool.scopes for scope in entry.require]
    return Grant(subject, auth.audiences[0], tuple(dict.fromkeys(scopes)), claims)


def _handler(issuer: DevIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            documents = {
                "/jwks": issuer.jwks,
                "/.well-known/openid-configuration": issuer.metadata,
                "/.well-known/oauth-authorization-server": issuer.metadata,
            }
            document = documents.get(self.path.partition("?")[0])
            body = json.dumps(document() if document else {"error": "not_found"}).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: the requests come from the gateway."""

    return Handler
