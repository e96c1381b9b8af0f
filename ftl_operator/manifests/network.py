"""Network policies (who reaches an app's pods, whom they reach) and routes from outside the cluster. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ftl_operator.api import kinds
from ftl_operator.api.names import Owner
from ftl_operator.api.network import INTERCEPTOR_SUFFIX, WELL_KNOWN, NetworkSpec, Peer, RouteSpec, Source
from ftl_operator.errors import Reason, SpecError
from ftl_operator.manifests.egress import EVERY_PORT, Target
from ftl_operator.manifests.metadata import manifest
from ftl_operator.manifests.scaling import SERVICE_PORT
from ftl_operator.settings import Settings

Manifest = dict[str, Any]

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""The label with a namespace's name, which every namespace has."""
DNS_PORTS = (53, 5353)
"""Ports of DNS. A NetworkPolicy applies to the pods' port (5353 on OpenShift), not to the Service's (53)."""
CILIUM_DNS: tuple[tuple[str, dict[str, str]], ...] = (
    ("kube-system", {"k8s:k8s-app": "kube-dns"}),
    ("openshift-dns", {}),
)
"""Namespace and labels of DNS pods, on most clusters and on OpenShift."""
WELL_KNOWN_NAMES = ("oauth-protected-resource", "oauth-authorization-server", "openid-configuration")
"""Well-known names that the gateway serves. The endpoint's path follows them (RFC 9728 §3.1, RFC 8414
§3.1)."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The Service that a route sends its requests to.

    Args:
        name: Its name.
        namespace: Its namespace.
        port: Its port.
        host: The value to rewrite the `Host` header to; empty to keep the header.
    """

    name: str
    namespace: str
    port: int
    host: str = ""


def own_backend(owner: Owner) -> Backend:
    """The app's Service."""
    return Backend(owner.name, owner.namespace, SERVICE_PORT)


def interceptor_hosts(owner: Owner, route: RouteSpec | None, settings: Settings) -> list[str]:
    """Values of `Host`, without ports, by which the interceptor of KEDA's HTTP add-on recognises an app.

    The route's host is one of them only if the app has the host to itself: once the path is removed from a
    request, only the host identifies the app. All namespaces share the interceptor. So every other name ends
    in `.svc` or the cluster's domain, or has a first label that no route's host may have; no app can then
    answer requests for another app's route.
    """
    hosts = [route.host] if route and route.path == "/" else []
    for host in (owner.host, owner.interceptor_host):
        hosts += [host, f"{host}.{settings.cluster_domain}"]
    return [*hosts, owner.interceptor_host.removesuffix(".svc")]


def interceptor_service(owner: Owner, settings: Settings) -> Manifest:
    """Make a Service that names the interceptor in the app's namespace.

    An Ingress can only refer to Services in its own namespace. Clients in the cluster also use this name, by
    which the interceptor recognises the app.
    """
    place = f"{settings.interceptor_service}.{settings.interceptor_namespace}"
    port = settings.interceptor_port
    spec = {
        "type": "ExternalName",
        "externalName": f"{place}.svc.{settings.cluster_domain}",
        "ports": [{"name": "http", "port": port, "protocol": "TCP", "targetPort": port}],
    }
    return manifest(kinds.SERVICE, owner, {"spec": spec}, suffix=INTERCEPTOR_SUFFIX)


def interceptor_backend(owner: Owner, route: RouteSpec, settings: Settings) -> Backend:
    """The interceptor as a backend for this kind of route.

    Gateway API supports Services of other namespaces, with a ReferenceGrant there, but not always
    ExternalName Services; for an Ingress it is the other way round.
    """
    if route.gateway_ref is None:
        return Backend(owner.interceptor_name, owner.namespace, settings.interceptor_port)
    return Backend(
        settings.interceptor_service,
        settings.interceptor_namespace,
        settings.interceptor_port,
        host="" if route.path == "/" else owner.interceptor_host,
    )


def network_policy(
    owner: Owner, network: NetworkSpec, targets: Sequence[Target] | None, namespaces: Sequence[str]
) -> Manifest:
    """Allow ingress from the spec's sources and `namespaces`, and egress to DNS and the ports of `targets`.

    The namespaces are the operator's, which probes the running app, and the interceptor's if requests come
    through it.

    A NetworkPolicy knows no host names, so a target with a name opens its port to every address. Where
    Cilium's API exists, `cilium_network_policy` restricts egress instead, and `targets` is None here.
    """
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": owner.pod_selector},
        "policyTypes": ["Ingress"],
        "ingress": _ingress(network.allow_from, namespaces),
    }
    if targets is not None:
        spec |= {"policyTypes": ["Ingress", "Egress"], "egress": _egress(network, targets)}
    return manifest(kinds.NETWORK_POLICY, owner, {"spec": spec})


def cilium_network_policy(owner: Owner, network: NetworkSpec, targets: Sequence[Target]) -> Manifest:
    """Allow egress to DNS, through Cilium's proxy, and to the host names of `targets`.

    Cilium allows what any policy allows, so this policy replaces the egress part of `network_policy`.
    """
    dns = {
        "toEndpoints": [
            {"matchLabels": {"k8s:io.kubernetes.pod.namespace": namespace, **labels}}
            for namespace, labels in CILIUM_DNS
        ],
        "toPorts": [
            {
                "ports": [{"port": str(port), "protocol": "ANY"} for port in DNS_PORTS],
                "rules": {"dns": [{"matchPattern": "*"}]},
            }
        ],
    }
    egress: list[dict[str, Any]] = [dns]
    for target in targets:
        rule: dict[str, Any]
        if target.is_address:
            rule = {"toCIDR": [target.host]}
        elif target.host == "*":
            rule = {"toEntities": ["world", "cluster"]}
        elif "." not in target.host or target.host.endswith((".svc", ".cluster.local")):
            # Cilium matches names only for destinations outside the cluster.
            rule = {"toEntities": ["cluster"]}
        elif target.host.startswith("*."):
            # A star in Cilium's pattern matches one label; in Spin's it matches any number.
            rule = {"toFQDNs": [{"matchPattern": target.host}, {"matchPattern": f"*.{target.host}"}]}
        else:
            rule = {"toFQDNs": [{"matchName": target.host}]}
        if target.ports != EVERY_PORT:
            rule["toPorts"] = [{"ports": [_cilium_port(target.ports)]}]
        egress.append(rule)
    for destination in network.allow_to:
        rule = _cilium_peer(destination.to, owner.namespace)
        if destination.ports:
            rule["toPorts"] = [
                {"ports": [{"port": str(port), "protocol": "TCP"} for port in destination.ports]}
            ]
        egress.append(rule)
    return manifest(
        kinds.CILIUM_NETWORK_POLICY,
        owner,
        {"spec": {"endpointSelector": {"matchLabels": owner.pod_selector}, "egress": egress}},
    )


def ingress(owner: Owner, route: RouteSpec, backend: Backend) -> Manifest:
    """Make an Ingress of the class that the route names."""
    spec: dict[str, Any] = {
        "ingressClassName": route.ingress_class_name,
        "rules": [
            {
                "host": route.host,
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": backend.name, "port": {"number": backend.port}}},
                        }
                    ]
                },
            }
        ],
    }
    if route.tls.enabled and route.tls.secret_name:
        spec["tls"] = [{"hosts": [route.host], "secretName": route.tls.secret_name}]
    return manifest(kinds.INGRESS, owner, {"spec": spec}, annotations=route.annotations)


def check_route_host(owner: Owner, route: RouteSpec, settings: Settings) -> None:
    """Refuse a host that the settings do not allow for this namespace.

    Raises:
        SpecError: The host is not allowed, or lies in the cluster's own domain.
    """
    field = "spec.route.host"
    if f".{route.host}".endswith(f".{settings.cluster_domain}"):
        raise SpecError(
            f"{route.host} lies in the cluster's own domain {settings.cluster_domain}, whose names belong to "
            "its Services; choose a public one",
            reason=Reason.HOST_NOT_ALLOWED,
            field=field,
        )
    allowed = settings.route_hosts
    if allowed and not any(item.allows(owner.namespace, route.host) for item in allowed):
        raise SpecError(
            f"the operator's settings do not allow the host {route.host} in the namespace {owner.namespace}",
            reason=Reason.HOST_NOT_ALLOWED,
            field=field,
        )


def http_route(
    owner: Owner, route: RouteSpec, backend: Backend, seconds: int, *, is_protected: bool
) -> Manifest:
    """Make an HTTPRoute for the Gateway that the route names; it removes the route's path from requests.

    Args:
        owner: The app.
        route: Its route.
        backend: Where requests go.
        seconds: How long a request may take. Without it the proxy's own limit applies, often 15 seconds.
        is_protected: Whether clients need a token. Then requests for the metadata that tell clients where to
            get
            one also go to the app, with their path unchanged; they lie beside the path, not under it.
    """
    parent: dict[str, Any] = {}
    if route.gateway_ref is not None:
        parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": route.gateway_ref.name}
        if route.gateway_ref.namespace:
            parent["namespace"] = route.gateway_ref.namespace
        if route.gateway_ref.section_name:
            parent["sectionName"] = route.gateway_ref.section_name
    host: dict[str, Any] = {"hostname": backend.host} if backend.host else {}
    if route.path == "/":
        rules = [_rule([route.path], host, owner, backend, seconds)]
    else:
        whole = {**host, "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        rules = [_rule([route.path], whole, owner, backend, seconds)]
        if is_protected:
            metadata = [f"{WELL_KNOWN}{name}{route.path}" for name in WELL_KNOWN_NAMES]
            rules.append(_rule(metadata, host, owner, backend, seconds))
    spec = {"parentRefs": [parent], "hostnames": [route.host], "rules": rules}
    return manifest(kinds.HTTP_ROUTE, owner, {"spec": spec}, annotations=route.annotations)


def _rule(
    paths: Sequence[str], rewrite: dict[str, Any], owner: Owner, backend: Backend, seconds: int
) -> dict[str, Any]:
    """Make one rule of an HTTPRoute: requests below any of the paths go to the backend."""
    reference = {"group": "", "kind": "Service", "name": backend.name, "port": backend.port, "weight": 1}
    if backend.namespace != owner.namespace:
        reference["namespace"] = backend.namespace
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in paths],
        "backendRefs": [reference],
        "timeouts": {"request": f"{seconds}s"},
    }
    if rewrite:
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    return rule


def _ingress(sources: Sequence[Source], namespaces: Sequence[str]) -> list[dict[str, Any]]:
    """Make one rule for the app's own port, and one for each set of ports that sources name."""
    own = {"ports": _ports([(SERVICE_PORT, SERVICE_PORT)])}
    if not sources:
        return [own]
    by_ports: dict[tuple[int, ...], list[dict[str, Any]]] = {(): []}
    for source in sources:
        by_ports.setdefault(source.ports, []).append(_peer(source))
    needed = [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}} for name in namespaces]
    by_ports[()] += [peer for peer in needed if peer not in by_ports[()]]
    return [
        {"ports": _ports([(port, port) for port in ports or (SERVICE_PORT,)]), "from": peers}
        for ports, peers in by_ports.items()
    ]


def _egress(network: NetworkSpec, targets: Sequence[Target]) -> list[dict[str, Any]]:
    dns = [{"protocol": protocol, "port": port} for port in DNS_PORTS for protocol in ("UDP", "TCP")]
    egress: list[dict[str, Any]] = [{"ports": dns}]
    named = sorted({target.ports for target in targets if not target.is_address})
    if named:
        egress.append({"ports": _ports(named)} if EVERY_PORT not in named else {})
    egress += [
        {"to": [{"ipBlock": {"cidr": target.host}}], "ports": _ports([target.ports])}
        for target in targets
        if target.is_address
    ]
    for destination in network.allow_to:
        rule: dict[str, Any] = {"to": [_peer(destination.to)]}
        if destination.ports:
            rule["ports"] = [{"protocol": "TCP", "port": port} for port in destination.ports]
        egress.append(rule)
    return egress


def _peer(peer: Peer) -> dict[str, Any]:
    if peer.cidr is not None:
        return {"ipBlock": {"cidr": peer.cidr}}
    selectors: dict[str, Any] = {}
    if peer.namespace_labels:
        selectors["namespaceSelector"] = {"matchLabels": dict(peer.namespace_labels)}
    if peer.pod_labels or not peer.namespace_labels:
        # An empty pod selector without a namespace selector means every pod in the app's namespace.
        selectors["podSelector"] = {"matchLabels": dict(peer.pod_labels)} if peer.pod_labels else {}
    return selectors


def _cilium_peer(peer: Peer, namespace: str) -> dict[str, Any]:
    if peer.cidr is not None:
        return {"toCIDR": [peer.cidr]}
    labels = {f"k8s:{name}": value for name, value in peer.pod_labels.items()}
    if peer.namespace_labels:
        prefix = "k8s:io.cilium.k8s.namespace.labels."
        labels |= {f"{prefix}{name}": value for name, value in peer.namespace_labels.items()}
    else:
        labels["k8s:io.kubernetes.pod.namespace"] = namespace
    return {"toEndpoints": [{"matchLabels": labels}]}


def _ports(ranges: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
    ports = []
    for first, last in ranges:
        port: dict[str, Any] = {"protocol": "TCP", "port": first}
        if last != first:
            port["endPort"] = last
        ports.append(port)
    return ports


def _cilium_port(ports: tuple[int, int]) -> dict[str, Any]:
    first, last = ports
    port: dict[str, Any] = {"port": str(first), "protocol": "TCP"}
    if last != first:
        port["endPort"] = last
    return port
