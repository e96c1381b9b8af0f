"""Composes the gateway and the tools into one Spin application. Pure: the same inputs give the same bytes.

Sources: Spin's locked application (spinframework/spin, `crates/locked-app`, version 1), in the form that Spin
3.6 (SpinKube's shim) and Spin 4 both load. One public route leads to the gateway, and a few to the login of
an app that has one. Every tool has a private route; local service chaining does not find a component without
a route.

The gateway's configuration is in literal variables of the gateway component. Application variables exist only
for values that the cluster provides, because every instance that makes a request resolves all of them
(`ProviderResolver::prepare`, crates/expressions), so each costs time in each call.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access, GatewayAuth
from ftl_operator.api.fields import ValueSource
from ftl_operator.api.login import LOGIN
from ftl_operator.api.names import (
    API_KEYS,
    APP_UID,
    LOGIN_KEYS,
    LOGIN_UPSTREAM_SECRET,
    LOGIN_USERS,
    PROBE_WORD,
    SEALING_KEY,
)
from ftl_operator.api.tools import GATEWAY, ToolSpec
from ftl_operator.component.tool import Component
from ftl_operator.errors import Reason, SpecError
from ftl_operator.oci.descriptor import Layer
from ftl_operator.oci.digest import canonical
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.gateway.catalog import ComponentTools, ExposedTool, select_tools, variables
from ftl_operator.pipeline.gateway.config import DEFAULT_STORE, gateway_config
from ftl_operator.pipeline.gateway.login import LOGIN_ROUTES, login_config
from ftl_operator.pipeline.resolve import ResolvedApp, ResolvedTool, layer_of

__all__ = ["Binding", "ComposeSettings", "GatewayAuth", "LockedApp", "compose", "literal"]

CHAINING_DOMAIN = "spin.internal"
LOCK_VERSION = 1
MAX_TOOLS = 1024
"""How many tools an app may have; the status has room for so many."""


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """What the operator adds to the spec: its own components.

    Args:
        gateway: The gateway.
        login: The login, for the apps that have one; None where none of them is composed.
    """

    gateway: Layer
    login: Layer | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """An application variable whose value the cluster must provide, for the `variable` of a `tool`."""

    name: str
    tool: str
    variable: str
    source: ValueSource


@dataclass(frozen=True, slots=True)
class LockedApp:
    """A Spin application with all components pinned.

    Args:
        document: The locked application.
        layers: Every component's layer: the gateway's first, then the login's if the app has one.
        bindings: The variables without a value.
        tools: The tools that clients see, as far as they are known now.
        dynamic: The components that list their tools only at run time.
    """

    document: Mapping[str, Any] = field(repr=False)
    layers: tuple[Layer, ...]
    bindings: tuple[Binding, ...]
    tools: tuple[ExposedTool, ...]
    dynamic: tuple[str, ...]

    @property
    def name(self) -> str:
        """The app's name."""
        return str(self.document["metadata"]["name"])

    def to_bytes(self) -> bytes:
        """The locked application as the layer of an image."""
        return canonical(self.document).encode()


def compose(
    resolved: ResolvedApp,
    components: Mapping[Digest, Component],
    auth: GatewayAuth | None,
    settings: ComposeSettings,
) -> LockedApp:
    """Compose the application.

    Args:
        resolved: The app, its tools pinned.
        components: The inspected components, by `ResolvedTool.identity`.
        auth: What the gateway needs to verify tokens; None exactly if access is public.
        settings: The operator's part.

    Raises:
        SpecError: The spec's filters, names or variables do not fit the components, or each other.
        ComponentError: A tool's metadata cannot be offered to clients.
    """
    spec = resolved.app.spec
    if (auth is None) != (spec.access is Access.PUBLIC) or (auth and auth.access is not spec.access):
        raise SpecError(
            f"access: {spec.access} does not fit what was checked of spec.auth",
            reason=Reason.NO_USABLE_RULE,
            field="spec.access",
        )
    listings = [
        select_tools(
            tool.spec, f"spec.tools[{index}]", components[tool.identity], spec.call_seconds(tool.spec)
        )
        for index, tool in enumerate(resolved.tools)
    ]
    tools = tuple(tool for listing in listings for tool in listing.tools or ())
    if len(tools) > MAX_TOOLS:
        raise SpecError(
            f"the components have {len(tools)} tools together, and an app may have {MAX_TOOLS}; "
            "leave some out by include or exclude",
            reason=Reason.TOO_LARGE,
            field="spec.tools",
        )
    gateway = settings.gateway if resolved.gateway is None else layer_of(resolved.gateway)
    baked = variables(listings)
    if auth and auth.policy:
        # Rego is wrapped in JSON, because only in JSON can braces be escaped (see `literal`).
        baked |= {"policy": canonical(auth.policy), "policy_data": auth.policy_data}
    login = _login_layer(auth, settings)
    own = (gateway,) if login is None else (gateway, login)
    digests = [*(layer.descriptor.digest for layer in own), *(tool.digest for tool in resolved.tools)]
    baked["gateway_config"] = gateway_config(resolved.app, listings, auth, (baked, digests))
    values, bindings = _variables(resolved.app)
    document = {
        "spin_lock_version": LOCK_VERSION,
        "must_understand": ["component_host_requirements"],
        "metadata": _metadata(resolved.app),
        "variables": values,
        "triggers": [
            _trigger(GATEWAY, "/..."),
            *([] if login is None else _login_triggers()),
            *(_trigger(tool.name, {"private": True}) for tool in spec.tools),
        ],
        "components": [
            _gateway(gateway, spec.tools, auth, baked),
            *([] if login is None else [_login(login, resolved.app, auth, listings)]),
            *(_tool(tool, index, spec.tools) for index, tool in enumerate(resolved.tools)),
        ],
    }
    return LockedApp(
        document,
        (*own, *(layer_of(tool.source) for tool in resolved.tools)),
        bindings,
        tools,
        tuple(listing.spec.name for listing in listings if listing.tools is None),
    )


def _metadata(app: FtlApp) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": app.metadata.name,
        "version": app.spec.gateway.version,
        # Spin panics if both are missing; older versions read the first, newer ones the second.
        "trigger": {"type": "http"},
        "triggers": {"http": {}},
    }
    if app.spec.description:
        metadata["description"] = app.spec.description
    return metadata


def _trigger(component: str, route: str | dict[str, bool]) -> dict[str, Any]:
    return {
        "id": f"trigger-{component}",
        "trigger_type": "http",
        "trigger_config": {"component": component, "route": route},
    }


def _gateway(
    layer: Layer, tools: Sequence[ToolSpec], auth: GatewayAuth | None, baked: Mapping[str, str]
) -> dict[str, Any]:
    hosts = [f"http://{tool.name}.{CHAINING_DOMAIN}" for tool in tools]
    if auth and auth.jwks_uri:
        parts = urlsplit(auth.jwks_uri)
        hosts.append(f"{parts.scheme}://{parts.netloc}")
    config = {name: literal(text) for name, text in baked.items()}
    return {
        "id": GATEWAY,
        "metadata": {"allowed_outbound_hosts": hosts, "key_value_stores": [DEFAULT_STORE]},
        "source": _source(layer.descriptor.digest),
        "config": {
            **config,
            # One variable instead of two, because every call reads it.
            "store_seal": f"{_template(APP_UID)}:{_template(SEALING_KEY)}",
            "probe_word": _template(PROBE_WORD),
            **({"api_keys": _template(API_KEYS)} if auth is not None and auth.api_keys else {}),
        },
        "host_requirements": {"local_service_chaining": "required"},
    }


def _login_layer(auth: GatewayAuth | None, settings: ComposeSettings) -> Layer | None:
    if auth is None or auth.login is None:
        return None
    if settings.login is None:
        raise SpecError("there is no login component here", field="spec.auth.login")
    return settings.login


def _login_triggers() -> list[dict[str, Any]]:
    """The login's public routes. Spin prefers them to the gateway's, because they are longer."""
    triggers = [_trigger(LOGIN, route) for route in LOGIN_ROUTES]
    return [{**trigger, "id": f"trigger-{LOGIN}-{index}"} for index, trigger in enumerate(triggers)]


def _login(
    layer: Layer,
    app: FtlApp,
    auth: GatewayAuth | None,
    listings: Sequence[ComponentTools],
) -> dict[str, Any]:
    spec = app.spec.auth.login if app.spec.auth is not None else None
    if auth is None or auth.login is None or spec is None:
        raise ValueError("the app has no login")
    urls = map(urlsplit, auth.login.outbound_urls)
    hosts = dict.fromkeys(f"{parts.scheme}://{parts.netloc}" for parts in urls)
    secret = spec.upstream.secret_ref if spec.upstream is not None else None
    return {
        "id": LOGIN,
        "metadata": {"allowed_outbound_hosts": list(hosts), "key_value_stores": [DEFAULT_STORE]},
        "source": _source(layer.descriptor.digest),
        "config": {
            "login_config": literal(login_config(app, listings, auth)),
            "login_keys": _template(LOGIN_KEYS),
            "login_users": _template(LOGIN_USERS) if spec.users is not None else "",
            "login_upstream_secret": _template(LOGIN_UPSTREAM_SECRET) if secret is not None else "",
        },
    }


def _tool(tool: ResolvedTool, index: int, tools: Sequence[ToolSpec]) -> dict[str, Any]:
    spec = tool.spec
    metadata: dict[str, Any] = {"allowed_outbound_hosts": list(spec.allowed_outbound_hosts)}
    granted = {
        "key_value_stores": spec.key_value_stores,
        "databases": spec.sqlite_databases,
        "ai_models": spec.ai_models,
    }
    metadata |= {key: list(value) for key, value in granted.items() if value}
    component: dict[str, Any] = {"id": spec.name, "metadata": metadata, "source": _source(tool.digest)}
    if spec.environment:
        component["env"] = {variable.name: variable.value for variable in spec.environment}
    if spec.variables:
        component["config"] = {
            variable.name: _template(_tool_variable(spec.name, variable.name)) for variable in spec.variables
        }
    if list(_chained(spec, index, tools)):
        component["host_requirements"] = {"local_service_chaining": "required"}
    return component


def _chained(spec: ToolSpec, index: int, tools: Sequence[ToolSpec]) -> Iterator[str]:
    """The outbound hosts of a tool that are other components of the app (service chaining)."""
    names = {tool.name for tool in tools}
    for position, host in enumerate(spec.allowed_outbound_hosts):
        name, dot, domain = host.partition("://")[2].partition(".")
        if not dot or domain.partition(":")[0] != CHAINING_DOMAIN:
            continue
        if name != "*" and name not in names:
            raise SpecError(
                f"there is no tool {name!r} to call",
                field=f"spec.tools[{index}].allowedOutboundHosts[{position}]",
            )
        yield host


def _variables(app: FtlApp) -> tuple[dict[str, dict[str, Any]], tuple[Binding, ...]]:
    """The application's variables, and the bindings for those without a value."""
    tools = app.spec.tools
    values: dict[str, dict[str, Any]] = {name: {"default": ""} for name in (APP_UID, SEALING_KEY, PROBE_WORD)}
    given = app.spec.auth.secret_variables(app.metadata.name) if app.spec.auth is not None else ()
    bindings = [
        Binding(item.name, item.component, item.variable, ValueSource(secret_key_ref=item.key))
        for item in given
    ]
    values |= {binding.name: {"secret": True} for binding in bindings}
    owners = dict.fromkeys(values, "the gateway")
    for index, tool in enumerate(tools):
        for position, variable in enumerate(tool.variables):
            name, owner = _tool_variable(tool.name, variable.name), f"{variable.name!r} of {tool.name!r}"
            if name in owners:
                raise SpecError(
                    f"{owner} and {owners[name]} would both be the application's variable {name!r}; "
                    "name the tool or the variable otherwise",
                    field=f"spec.tools[{index}].variables[{position}].name",
                )
            owners[name] = owner
            if variable.value_from is None:
                values[name] = {"default": variable.value}
                continue
            values[name] = {"secret": True} if variable.value_from.secret_key_ref else {}
            bindings.append(Binding(name, tool.name, variable.name, variable.value_from))
    return values, tuple(bindings)


def _tool_variable(tool: str, variable: str) -> str:
    return f"{tool.replace('-', '_')}_{variable}"


def literal(text: str) -> str:
    """Write a JSON text so that Spin reads it as a literal variable and not as a template.

    Two opening braces in a row begin a template (crates/expressions, `Template::new`). In canonical JSON they
    occur only in strings, where the second one can be escaped.
    """
    return text.replace("{{", "{\\u007b")


def _template(variable: str) -> str:
    return f"{{{{ {variable} }}}}"


def _source(digest: Digest) -> dict[str, str]:
    return {"content_type": "application/wasm", "digest": digest}
