"""Makes the Kubernetes objects that run a published application. Pure.

`manifests` lists everything that an FtlApp owns. There is one function per kind, here and in the other
modules of this package. Objects whose kind the cluster does not serve are left out and reported.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ftl_operator.api import kinds as api_kinds
from ftl_operator.api.app import FtlApp
from ftl_operator.api.auth import Access
from ftl_operator.api.kinds import Api, ClusterApis
from ftl_operator.api.names import PROBE_WORD_KEY, Owner
from ftl_operator.api.runtime import Autoscaling, RuntimeConfig, Scaler
from ftl_operator.errors import ClusterError, Reason
from ftl_operator.manifests.egress import Target, targets_of
from ftl_operator.manifests.metadata import manifest
from ftl_operator.manifests.network import (
    check_route_host,
    cilium_network_policy,
    http_route,
    ingress,
    interceptor_backend,
    interceptor_hosts,
    interceptor_service,
    network_policy,
    own_backend,
)
from ftl_operator.manifests.scaling import (
    SPARE_SECONDS,
    WAIT_SECONDS,
    horizontal_pod_autoscaler,
    http_scaled_object,
    intercepted_scaled_object,
    interceptor_route,
    pod_disruption_budget,
    scaled_object,
)
from ftl_operator.manifests.spinapp import Release, gateway_secret, owner_of_app, spin_app
from ftl_operator.settings import Settings

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """An object that was left out because the cluster does not serve its kind.

    Args:
        api: The kind.
        field: The field of the spec that asks for it.
        is_vital: Whether the app does not meet its spec without the object.
    """

    api: Api
    field: str
    is_vital: bool

    def __str__(self) -> str:
        return (
            f"{self.field} needs {self.api.kind} of {self.api.api_version}, which this cluster does not serve"
        )

    def error(self) -> ClusterError:
        """Make an error of it."""
        return ClusterError(
            f"the cluster does not serve {self.api.kind} of {self.api.api_version}; install it or "
            f"remove the field",
            reason=Reason.API_MISSING,
            field=self.field,
        )


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects, in the order in which they are applied, and the missing ones."""

    objects: tuple[Manifest, ...]
    missing: tuple[Missing, ...] = ()


def manifests(
    app: FtlApp, release: Release, settings: Settings, served: ClusterApis = api_kinds.EVERY_API
) -> Manifests:
    """Make every object that an app owns. An owned object that is not among them gets deleted.

    Args:
        app: The app.
        release: The release to run.
        settings: The operator's settings.
        served: The kinds that the cluster serves.

    Raises:
        SpecError: The settings do not allow what the spec asks for.
    """
    if app.spec.route is not None:
        check_route_host(owner_of_app(app), app.spec.route, settings)
    wanted = list(_wanted(app, release, settings, served))
    missing = tuple(found for found in wanted if isinstance(found, Missing))
    return Manifests(tuple(found for found in wanted if not isinstance(found, Missing)), missing)


def endpoint(app: FtlApp, settings: Settings) -> str:
    """The URL of the app's MCP endpoint: a public one if the app has a route, else one in the cluster.

    The URL in the cluster is that of the app's Service, or of the interceptor if every request must pass it.
    """
    if app.spec.route is not None:
        return f"{app.spec.route.url}mcp"
    owner = owner_of_app(app)
    if app.spec.runtime.is_intercepted:
        return f"http://{owner.interceptor_host}:{settings.interceptor_port}/mcp"
    return f"http://{owner.host}/mcp"


def _wanted(
    app: FtlApp, release: Release, settings: Settings, served: ClusterApis
) -> Iterable[Manifest | Missing]:
    owner, spec = owner_of_app(app), app.spec
    yield client_configuration(owner, endpoint(app, settings))
    if spec.network.policy:
        targets = _targets(app, release)
        closes_names = api_kinds.CILIUM_NETWORK_POLICY in served
        namespaces = [
            settings.operator_namespace,
            *([settings.interceptor_namespace] if spec.runtime.is_intercepted else []),
        ]
        yield network_policy(owner, spec.network, None if closes_names else targets, namespaces)
        if closes_names:
            yield cilium_network_policy(owner, spec.network, targets)
    yield spin_app(app, release, settings)
    scaling = spec.runtime.autoscaling
    if scaling is not None and not spec.suspend:
        yield from _scalers(app, scaling, settings, served)
    least = scaling.min_replicas if scaling is not None else spec.runtime.replicas or 1
    if least >= 2 and not spec.suspend and api_kinds.POD_DISRUPTION_BUDGET in served:
        yield pod_disruption_budget(owner)
    if spec.telemetry.service_monitor:
        if api_kinds.SERVICE_MONITOR in served:
            yield service_monitor(owner, spec.telemetry.service_monitor_labels, gateway_secret(app, settings))
        else:
            yield Missing(api_kinds.SERVICE_MONITOR, "spec.telemetry.serviceMonitor", False)
    yield from _addresses(app, settings, served)


def _scalers(
    app: FtlApp, scaling: Autoscaling, settings: Settings, served: ClusterApis
) -> Iterable[Manifest | Missing]:
    """The objects that change the number of pods."""
    owner, spec = owner_of_app(app), app.spec
    hosts = interceptor_hosts(owner, spec.route, settings)
    seconds = spec.longest_call_seconds
    newer = {api_kinds.INTERCEPTOR_ROUTE, api_kinds.SCALED_OBJECT}
    made: list[Manifest]
    match scaling.scaler:
        case Scaler.HPA:
            api, made = api_kinds.HORIZONTAL_POD_AUTOSCALER, [horizontal_pod_autoscaler(owner, scaling)]
        case Scaler.KEDA:
            api, made = api_kinds.SCALED_OBJECT, [scaled_object(owner, scaling)]
        case Scaler.KEDA_HTTP if api_kinds.HTTP_SCALED_OBJECT in served and not newer <= served:
            # For the add-on up to version 0.13.
            made = [http_scaled_object(owner, scaling, hosts, seconds)]
            api = api_kinds.HTTP_SCALED_OBJECT
        case Scaler.KEDA_HTTP:
            api = api_kinds.INTERCEPTOR_ROUTE
            made = [
                interceptor_route(owner, scaling, hosts, seconds),
                intercepted_scaled_object(owner, scaling, settings.interceptor_scaler_address),
            ]
    if all(api_kinds.api_of(item) in served for item in made):
        yield from made
    else:
        yield Missing(api, "spec.runtime.autoscaling.scaler", True)


def _addresses(app: FtlApp, settings: Settings, served: ClusterApis) -> Iterable[Manifest | Missing]:
    """The objects that route requests to the app."""
    owner, route = owner_of_app(app), app.spec.route
    is_intercepted = app.spec.runtime.is_intercepted
    if is_intercepted:
        yield interceptor_service(owner, settings)
    if route is None:
        return
    backend = own_backend(owner)
    if is_intercepted and not app.spec.suspend:
        # The interceptor does not know a suspended app. Its requests fail as those to a Service without pods.
        backend = interceptor_backend(owner, route, settings)
    if route.ingress_class_name is not None:
        yield ingress(owner, route, backend)
    if route.gateway_ref is not None:
        if api_kinds.HTTP_ROUTE in served:
            seconds = app.spec.longest_call_seconds + SPARE_SECONDS
            if is_intercepted:
                # The first request waits until a pod runs.
                seconds += WAIT_SECONDS
            protected = app.spec.access is not Access.PUBLIC
            yield http_route(owner, route, backend, seconds, is_protected=protected)
        else:
            yield Missing(api_kinds.HTTP_ROUTE, "spec.route.gatewayRef", True)


def service_monitor(owner: Owner, labels: Mapping[str, str], secret: str | None) -> Manifest:
    """Make Prometheus Operator's object that tells a Prometheus to scrape the app.

    Args:
        owner: The app.
        labels: The labels by which the Prometheus selects ServiceMonitors.
        secret: The Secret with the probe word, which makes the gateway show refusals; None if it has none.
    """
    # The port of spin-operator's Service has no name, so the container's port is used.
    endpoint: dict[str, Any] = {"targetPort": "http-app", "path": "/metrics", "interval": "30s"}
    if secret is not None:
        endpoint["authorization"] = {"credentials": {"name": secret, "key": PROBE_WORD_KEY}}
    made = manifest(
        api_kinds.SERVICE_MONITOR,
        owner,
        {
            "spec": {
                "selector": {"matchLabels": owner.pod_selector},
                "endpoints": [endpoint],
                "targetLabels": [],
            }
        },
    )
    made["metadata"]["labels"] |= labels
    return made


def client_configuration(owner: Owner, url: str) -> Manifest:
    """Make a ConfigMap with `mcp.json`, the format that MCP clients read."""
    servers = {"mcpServers": {owner.name: {"type": "http", "url": url}}}
    return manifest(
        api_kinds.CONFIG_MAP,
        owner,
        {"data": {"mcp.json": json.dumps(servers, indent=2) + "\n"}},
        suffix="-mcp-client",
    )


def _targets(app: FtlApp, release: Release) -> list[Target]:
    hosts = [host for tool in app.spec.tools for host in tool.allowed_outbound_hosts]
    return targets_of(hosts, [*release.issuer_urls, *_backend_urls(app.spec.runtime.runtime_config)])


def _backend_urls(config: RuntimeConfig) -> Iterable[str]:
    """The URLs of stores, databases and models in the spec. Those in Secrets need `network.allowTo`."""
    options = [option for store in config.key_value_stores for option in store.options]
    options += [option for database in config.sqlite_databases for option in database.options]
    options += config.llm_compute.options if config.llm_compute else ()
    for option in options:
        if option.name == "url" and option.value:
            yield option.value
