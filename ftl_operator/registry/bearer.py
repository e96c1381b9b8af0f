"""Authentication at a registry: Basic, or a bearer token from the token server that the registry names.

Sources: RFC 9110 §11.6.1 (challenges), the distribution project's token authentication specification (a GET
with scopes; an OAuth 2 POST for identity tokens). Credentials go to the registry itself, and to the realm
that it names if the settings allow it; never to the target of a redirect.
"""

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from ftl_operator.errors import ComponentError, Reason, RegistryError
from ftl_operator.exchange import Deadline
from ftl_operator.hosts import HostError, HttpUrl, parse_url
from ftl_operator.registry.docker_config import Login
from ftl_operator.registry.http import Call, Transport, check, read

MAX_TOKEN_BYTES = 64 * 1024
DEFAULT_LIFETIME = 60.0
"""The lifetime of a token in seconds if the server gives none (the specification's default)."""
SAFETY_MARGIN = 10.0
"""Seconds before its expiry at which a token counts as expired."""
MAX_CACHED = 4096

_PART = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?')
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a `WWW-Authenticate` header: its scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Parse a `WWW-Authenticate` header; malformed parts are left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for name, quoted, plain in _PART.findall(header[:8192]):
        if quoted or plain:
            if found:
                found[-1][1].setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
        else:
            found.append((name.lower(), {}))
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


@dataclass(frozen=True, slots=True)
class TokenScope:
    """The key of a cached authorization: login, registry and scopes."""

    registry: str
    login: Login | None
    scopes: tuple[str, ...]
    """For example `repository:acme/weather:pull`."""


class TokenStore:
    """Cached `Authorization` values by scope, until shortly before they expire. Safe for threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kept: dict[TokenScope, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def kept(self, scope: TokenScope) -> str | None:
        """The cached `Authorization` value of this scope, if it is still valid."""
        if scope.login and scope.login.registry_token:
            return f"Bearer {scope.login.registry_token}"
        with self._lock:
            for key in (scope, _any_scope(scope)):
                until, value = self._kept.get(key, (0.0, ""))
                if until > time.monotonic():
                    return value
        return None

    def forget(self, scope: TokenScope) -> None:
        """Drop a value that the registry no longer accepts."""
        with self._lock:
            self._kept.pop(scope, None)
            self._kept.pop(_any_scope(scope), None)

    def answer(self, header: str, scope: TokenScope, home: HttpUrl, deadline: Deadline, where: str) -> str:
        """The `Authorization` value that answers a 401's challenges.

        Args:
            header: `WWW-Authenticate`.
            scope: The scope of the request.
            home: The registry's API, which sent the challenges.
            deadline: The deadline for the token.
            where: What the token is for, for messages.

        Raises:
            RegistryError: There are no credentials, or the token server refuses or fails.
        """
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(header)}
        login = scope.login
        if "bearer" in challenges and not (login and login.registry_token):
            token, lifetime = self._fetch(challenges["bearer"], scope, home, deadline, where)
            return self._keep(scope, f"Bearer {token}", lifetime - SAFETY_MARGIN)
        if "basic" in challenges and login and login.basic:
            return self._keep(_any_scope(scope), login.basic, 3600.0)
        raise unauthorized(where, login)

    def _keep(self, scope: TokenScope, value: str, seconds: float) -> str:
        now = time.monotonic()
        with self._lock:
            if len(self._kept) >= MAX_CACHED:
                self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
            if len(self._kept) < MAX_CACHED:
                self._kept[scope] = (now + seconds, value)
        return value

    def _fetch(
        self, challenge: Challenge, scope: TokenScope, home: HttpUrl, deadline: Deadline, where: str
    ) -> tuple[str, float]:
        call = _token_call(challenge, scope, home, where)
        with self._transport.exchange(call, deadline, f"{where}, token server") as response:
            if response.status in (400, 401, 403):
                raise unauthorized(where, scope.login)
            check(response, f"{where}, token server")
            try:
                raw = read(response, MAX_TOKEN_BYTES, where)
                document = json.loads(raw)
                token = document.get("token") or document["access_token"]
                lifetime = float(document.get("expires_in") or DEFAULT_LIFETIME)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ComponentError):
                raise RegistryError(f"{where}: the token server's answer holds no token") from None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise RegistryError(f"{where}: the token server's answer holds no token")
        return token, lifetime


def _any_scope(scope: TokenScope) -> TokenScope:
    # Basic credentials are the same for every repository and action.
    return replace(scope, scopes=())


def _token_call(challenge: Challenge, scope: TokenScope, home: HttpUrl, where: str) -> Call:
    try:
        realm = parse_url(challenge.parameters.get("realm", ""))
    except HostError:
        raise RegistryError(f"{where}: the registry asks for a token and names no token server") from None
    # A mount also needs the scope of its source, which the registry's challenge does not name.
    wanted = dict.fromkeys((*challenge.parameters.get("scope", "").split(), *scope.scopes))
    service = challenge.parameters.get("service", "")
    login = scope.login
    if login and login.identity_token:
        form = {
            "grant_type": "refresh_token",
            "client_id": "ftl-operator",
            "refresh_token": login.identity_token,
            "service": service,
            "scope": " ".join(wanted),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Call("POST", realm, home, headers, lambda: urlencode(form).encode())
    query = urlencode([("service", service)] * bool(service) + [("scope", name) for name in wanted])
    url = realm.with_target(f"{realm.target}{'&' if '?' in realm.target else '?'}{query}")
    return Call("GET", url, home, authorization=login.basic if login else None)


def unauthorized(where: str, login: Login | None) -> RegistryError:
    """Make the error for a refused scope; it says whether credentials were sent."""
    why = (
        "the registry refuses the credentials, or they do not reach this repository"
        if login
        else "the registry wants credentials and none are known for it"
    )
    return RegistryError(f"{where}: {why}", reason=Reason.REGISTRY_UNAUTHORIZED)
