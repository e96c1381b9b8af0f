"""What the gateway reads on every request: who it is, what it allows, how it judges tokens. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ftl_operator.catalog import Listing
from ftl_operator.image import canonical, sha256
from ftl_operator.model import Access, FtlApp
from ftl_operator.model_network import RouteSpec
from ftl_operator.ownership import Owner

DEFAULT_STORE = "default"
"""The key-value store in which the gateway keeps keys, verified tokens and what dynamic tools said."""


@dataclass(frozen=True, slots=True)
class GatewayAuth:
    """What the gateway needs to judge tokens, checked before: keys fit, the policy compiles, its tests hold.

    Args:
        access: Who may call; never public.
        issuer: What `iss` must be; None if it is not looked at.
        audiences: Accepted audiences.
        jwks_uri: Where keys are fetched; or
        public_key: one key in PEM; or
        jwks: a fixed key set. Exactly one of the three.
        algorithms: Accepted signature algorithms.
        required_scopes: Scopes that every token must have.
        allowed_subjects: Subjects that may call.
        organization: `{claim, value, members}`, or None.
        policy: The Rego text, or empty.
        policy_data: The policy's data as JSON text, or empty.
        leeway_seconds: By how much clocks may differ.
        authorization_servers: What clients are told about where to get a token.
        server_metadata: URL of the issuer's RFC 8414 metadata, for clients of 2025-03-26.
        warnings: What works now and may stop working; for the status, not for the gateway.
    """

    access: Access
    issuer: str | None
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks_uri: str | None = None
    public_key: str | None = None
    jwks: Mapping[str, Any] | None = None
    required_scopes: tuple[str, ...] = ()
    allowed_subjects: tuple[str, ...] = ()
    organization: Mapping[str, Any] | None = None
    policy: str = field(default="", repr=False)
    policy_data: str = field(default="", repr=False)
    leeway_seconds: int = 60
    authorization_servers: tuple[str, ...] = ()
    server_metadata: str | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def document(self, scopes: Sequence[str], *, store_shared: bool) -> dict[str, Any]:
        """The object `auth` of `gateway_config`.

        Args:
            scopes: Scopes that some tool needs.
            store_shared: Whether a tool may open the gateway's store, whose entries must then be sealed.
        """
        return {
            "access": self.access.value,
            "issuer": self.issuer,
            "audiences": list(self.audiences),
            "jwksUri": self.jwks_uri,
            "publicKey": self.public_key,
            "jwks": None if self.jwks is None else dict(self.jwks),
            "algorithms": list(self.algorithms),
            "requiredScopes": list(self.required_scopes),
            "allowedSubjects": list(self.allowed_subjects),
            "organization": None if self.organization is None else dict(self.organization),
            "hasPolicy": bool(self.policy),
            "leewaySeconds": self.leeway_seconds,
            "authorizationServers": list(self.authorization_servers),
            "authorizationServerMetadata": self.server_metadata,
            "scopesSupported": [
                *self.required_scopes,
                *(scope for scope in scopes if scope not in self.required_scopes),
            ],
            "storeShared": store_shared,
        }


def endpoint(route: RouteSpec | None) -> str | None:
    """The URL of the MCP endpoint, if the spec says under which address clients reach the app."""
    return None if route is None else f"{route.url}mcp"


def gateway_config(
    app: FtlApp,
    listings: Sequence[Listing],
    auth: GatewayAuth | None,
    composed: tuple[Mapping[str, str], Sequence[str]],
) -> str:
    """The variable `gateway_config`: everything that holds for a request before its tool is known.

    Args:
        app: The app.
        listings: Its components with their exposed tools.
        auth: What the gateway needs to judge tokens; None if access is public.
        composed: Everything else that is composed: the other variables, and the components' digests.
            `app` is the digest of all of it, so what a gateway keeps under it never outlives a change.
    """
    spec, gateway = app.spec, app.spec.gateway
    scopes = {scope for listing in listings for entry in listing.spec.scopes for scope in entry.require}
    shared = any(DEFAULT_STORE in tool.key_value_stores for tool in spec.tools)
    hosts = gateway.allowed_hosts
    if hosts:
        hosts = tuple(dict.fromkeys((*hosts, *_own_hosts(app))))
    config = {
        "name": app.metadata.name,
        "version": gateway.version,
        "validate": gateway.validate_arguments,
        "audit": spec.telemetry.audit_log,
        "timeoutMs": 1000 * gateway.timeout_seconds,
        "maxResponseBytes": gateway.max_response_bytes,
        "allowedOrigins": list(gateway.allowed_origins),
        "allowedHosts": list(hosts),
        "listTtlMs": 1000 * gateway.list_ttl_seconds,
        "dynamic": [
            {"id": listing.spec.name, "timeoutMs": 1000 * spec.call_seconds(listing.spec)}
            for listing in listings
            if listing.tools is None
        ],
        "resource": endpoint(spec.route) or _own_audience(auth),
        "auth": None if auth is None else auth.document(sorted(scopes), store_shared=shared),
    }
    optional = {
        "title": gateway.title,
        "description": spec.description,
        "instructions": gateway.instructions,
        "icons": [
            icon.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
            for icon in gateway.icons
        ],
    }
    config |= {key: value for key, value in optional.items() if value}
    return canonical({**config, "app": sha256(canonical([config, *composed]).encode())})


def _own_hosts(app: FtlApp) -> Iterator[str]:
    """Names by which the app is called through what was made for it; the operator's probe uses the first."""
    owner = Owner(app.metadata.namespace, app.metadata.name)
    yield owner.host
    if app.spec.runtime.is_intercepted:
        yield owner.interceptor_host
    if app.spec.route is not None:
        yield app.spec.route.host


def _own_audience(auth: GatewayAuth | None) -> str | None:
    """The audience that is an MCP endpoint's URL: by RFC 8707 that names the very resource to be reached."""
    for audience in auth.audiences if auth else ():
        parts = urlsplit(audience)
        if parts.scheme == "https" and parts.netloc and parts.path.endswith("/mcp") and not parts.query:
            return audience
    return None
