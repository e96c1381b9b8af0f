"""The configuration that the gateway reads on every request: identity, limits, checks of tokens. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.api.names import Owner
from ftl_operator.api.network import RouteSpec
from ftl_operator.oci.digest import canonical, sha256
from ftl_operator.pipeline.gateway.catalog import ComponentTools

DEFAULT_STORE = "default"
"""The gateway's key-value store, for keys, verified tokens and the lists of dynamic tools."""


def endpoint(route: RouteSpec | None) -> str | None:
    """The URL of the MCP endpoint, if the spec has the app's public address."""
    return None if route is None else f"{route.url}mcp"


def gateway_config(
    app: FtlApp,
    listings: Sequence[ComponentTools],
    auth: GatewayAuth | None,
    composed: tuple[Mapping[str, str], Sequence[str]],
) -> str:
    """The variable `gateway_config`: everything about a request that does not depend on the tool.

    Args:
        app: The app.
        listings: Its components with their exposed tools.
        auth: What the gateway needs to verify tokens; None if access is public.
        composed: The rest of the application: the other variables, and the components' digests. `app` is the
            digest of all of it, and the gateway's cache uses it as a key, so a change invalidates the cache.
    """
    spec, gateway = app.spec, app.spec.gateway
    scopes = {scope for listing in listings for entry in listing.spec.scopes for scope in entry.require}
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
        "resource": _resource(spec.route, auth),
        "storeShared": _others_may_write(app),
        "auth": None if auth is None else auth.document(sorted(scopes)),
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


def _others_may_write(app: FtlApp) -> bool:
    """Whether others can write into the gateway's store, so that only sealed entries are valid.

    A runtime configuration may give this store, or a tool's store of another name, a backend that others
    reach: another app, a tool by an outbound connection, or a SQLite database at the store's own path.
    """
    config = app.spec.runtime.runtime_config
    elsewhere = config.key_value_stores or config.sqlite_databases or config.load_from_secret
    return bool(elsewhere) or any(DEFAULT_STORE in tool.key_value_stores for tool in app.spec.tools)


def _own_hosts(app: FtlApp) -> Iterator[str]:
    """The host names of the objects that route to the app; the operator's probe uses the first."""
    owner = Owner(app.metadata.namespace, app.metadata.name)
    yield owner.host
    if app.spec.runtime.is_intercepted:
        yield owner.interceptor_host
    if app.spec.route is not None:
        yield app.spec.route.host
    login = app.spec.auth.login if app.spec.auth is not None else None
    if login is not None and login.url is not None:
        yield urlsplit(login.url).netloc


def _resource(route: RouteSpec | None, auth: GatewayAuth | None) -> str | None:
    """The URL of the MCP endpoint for clients. A login may be reached by another one than the route's."""
    if auth is not None and auth.login is not None:
        return f"{auth.login.issuer}/mcp"
    return endpoint(route) or _own_audience(auth)


def _own_audience(auth: GatewayAuth | None) -> str | None:
    """The audience that is an MCP endpoint's URL, which names the resource to reach (RFC 8707)."""
    for audience in auth.audiences if auth else ():
        parts = urlsplit(audience)
        if parts.scheme == "https" and parts.netloc and parts.path.endswith("/mcp") and not parts.query:
            return audience
    return None
