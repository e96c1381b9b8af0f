"""The configuration of the app's own login. Pure.

The component reads it as its variable `login_config` (`gateway_component/login`).
"""

from collections.abc import Sequence

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import GatewayAuth
from ftl_operator.oci.digest import canonical
from ftl_operator.pipeline.gateway.catalog import ComponentTools

LOGIN_ROUTES = (
    "/login/...",
    "/.well-known/oauth-authorization-server/...",
    "/.well-known/openid-configuration/...",
)
"""The routes of the login, below the app's path. All other requests are the gateway's."""
SESSION_SECONDS = 12 * 3600
"""How long a browser stays signed in."""
MAX_TOOLS_NAMED = 3
"""How many tools the page about consent names for a scope."""


def login_config(app: FtlApp, listings: Sequence[ComponentTools], auth: GatewayAuth) -> str:
    """The variable `login_config` of an app with a login.

    Args:
        app: The app.
        listings: Its components with their exposed tools.
        auth: What was checked; it has a login.
    """
    spec, login = app.spec.auth, auth.login
    if spec is None or spec.login is None or login is None:
        raise ValueError("the app has no login")
    needed = _tools_of_scopes(listings)
    config = {
        "issuer": login.issuer,
        "basePath": login.base_path,
        "name": app.metadata.name,
        "title": app.spec.gateway.title,
        "audiences": list(auth.audiences),
        "scopes": [
            {"name": scope, "description": _description(needed.get(scope, ()))}
            for scope in dict.fromkeys((*auth.required_scopes, *sorted(needed)))
        ],
        "requiredScopes": list(auth.required_scopes),
        "accessTokenSeconds": 60 * spec.login.access_token_minutes,
        "refreshTokenSeconds": 86400 * spec.login.refresh_token_days,
        "sessionSeconds": SESSION_SECONDS,
        "clientHosts": list(login.client_hosts),
        "registration": spec.login.registration,
        "upstream": None if login.upstream is None else login.upstream.document(),
    }
    return canonical(config)


def _tools_of_scopes(listings: Sequence[ComponentTools]) -> dict[str, list[str]]:
    """The names of the tools that need a scope, by scope. Tools that are not known yet have none."""
    needed: dict[str, list[str]] = {}
    for listing in listings:
        for entry in listing.spec.scopes:
            for scope in entry.require:
                needed.setdefault(scope, [])
        for tool in listing.tools or ():
            for scope in tool.scopes:
                needed.setdefault(scope, []).append(tool.full_name)
    return needed


def _description(tools: Sequence[str]) -> str | None:
    """What a scope lets a client do, for the person who consents."""
    if not tools:
        return None
    named = list(tools[:MAX_TOOLS_NAMED])
    others = len(tools) - len(named)
    more = f" and {others} more" if others else ""
    return f"Call {', '.join(named)}{more}"
