"""`spec.network`, `spec.route` and `spec.telemetry`: how an app is reached and monitored."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ftl_operator.api.fields import (
    DNS_LABEL,
    DNS_NAME,
    PUBLIC_NAME,
    ROUTE_PATH,
    Labels,
    ObjectName,
    OwnAnnotations,
    Part,
)

Port = Annotated[int, Field(ge=1, le=65535)]
Cidr = Annotated[str, Field(max_length=49, pattern=r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$")]


class Peer(Part):
    """Pods or addresses at the other end of a connection."""

    namespace_labels: Labels = Field(default_factory=dict)
    """Labels of the namespaces; with `podLabels` both must fit. Neither means the app's own namespace."""
    pod_labels: Labels = Field(default_factory=dict)
    """Labels of the pods. Empty means all pods."""
    cidr: Cidr | None = None
    """A range of addresses instead of pods."""

    @model_validator(mode="after")
    def _pods_or_addresses(self) -> Self:
        if self.cidr is not None and (self.namespace_labels or self.pod_labels):
            raise ValueError("set either cidr, or namespaceLabels and podLabels")
        return self


class Source(Peer):
    """Pods or addresses that may connect to the pods."""

    ports: Annotated[tuple[Port, ...], Field(max_length=16)] = ()
    """TCP ports of the pods that they may connect to; empty means the app's own, 80. A mesh's proxy has
    others."""


class Destination(Part):
    """A further destination of the pods, besides the tools' outbound hosts."""

    to: Peer
    """Pods or addresses."""
    ports: Annotated[tuple[Port, ...], Field(max_length=16)] = ()
    """TCP ports; empty means all."""


class NetworkSpec(Part):
    """Who may connect to the pods, and where they may connect to."""

    policy: bool = True
    """Whether a NetworkPolicy is made. It lets the pods reach DNS, the issuer and the ports of the tools'
    outbound hosts, and nothing else."""
    allow_from: Annotated[tuple[Source, ...], Field(max_length=16)] = ()
    """Who may connect to the pods. Empty means everyone."""
    allow_to: Annotated[tuple[Destination, ...], Field(max_length=16)] = ()
    """Further destinations of the pods, for example the backend of a key-value store."""


INTERCEPTOR_SUFFIX = "-keda-http"
"""The suffix of an app's Service for KEDA's HTTP interceptor."""
CLUSTER_DOMAINS = (".svc", ".pod", ".cluster.local", ".spin.internal")
"""Suffixes of names that a cluster's DNS or Spin assigns. The operator's settings may add a domain."""
CLUSTER_HOST_MESSAGE = (
    "route.host is a public name: none that ends in .svc, .pod, .cluster.local or .spin.internal, and none "
    "whose first label ends in -keda-http, for requests for these belong to apps of the cluster"
)
WELL_KNOWN = "/.well-known/"
WELL_KNOWN_MESSAGE = "route.path cannot lie under /.well-known, which all apps of the host share (RFC 8615)"


class GatewayReference(Part):
    """A Gateway of the Gateway API."""

    name: ObjectName
    """Its name."""
    namespace: Annotated[str | None, Field(max_length=63, pattern=DNS_LABEL)] = None
    """Its namespace; default: the app's."""
    section_name: Annotated[str | None, Field(max_length=253)] = None
    """One listener of it; default: all that fit."""


class RouteTls(Part):
    """How the route is encrypted."""

    enabled: bool = True
    """Whether clients speak HTTPS. It decides the URL's scheme, also if something in front ends TLS."""
    secret_name: ObjectName | None = None
    """The Secret with the certificate, for an Ingress. A Gateway has its own."""


class RouteSpec(Part):
    """The address at which clients reach the app."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=PUBLIC_NAME)]
    """The host's name, in full, and none of the cluster's own. The operator's settings say which ones a
    namespace may use."""
    path: Annotated[str, Field(min_length=1, max_length=256, pattern=ROUTE_PATH)] = "/"
    """The app's path prefix; it is removed before the app gets a request."""
    gateway_ref: GatewayReference | None = None
    """The Gateway that an HTTPRoute is attached to."""
    ingress_class_name: Annotated[str | None, Field(max_length=253, pattern=DNS_NAME)] = None
    """The class of the Ingress that is made."""
    tls: RouteTls = RouteTls()
    """How the route is encrypted."""
    annotations: OwnAnnotations = Field(default_factory=dict)
    """Annotations of the HTTPRoute or Ingress."""

    @model_validator(mode="after")
    def _nobody_elses(self) -> Self:
        first = self.host.partition(".")[0]
        if f".{self.host}".endswith(CLUSTER_DOMAINS) or first.endswith(INTERCEPTOR_SUFFIX):
            raise ValueError(CLUSTER_HOST_MESSAGE)
        if f"{self.path}/".startswith(WELL_KNOWN):
            raise ValueError(WELL_KNOWN_MESSAGE)
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.gateway_ref is not None and self.ingress_class_name is not None:
            raise ValueError("set at most one of gatewayRef, ingressClassName")
        if self.ingress_class_name is not None and self.path != "/":
            raise ValueError("an Ingress cannot take a path off: leave path out, or use gatewayRef")
        return self

    @property
    def url(self) -> str:
        """The app's URL, ending in a slash."""
        scheme = "https" if self.tls.enabled else "http"
        return f"{scheme}://{self.host}{self.path.rstrip('/')}/"


class TelemetrySpec(Part):
    """Metrics and audit log of the app."""

    service_monitor: bool = False
    """Whether to create a ServiceMonitor, so that Prometheus scrapes every pod's `/metrics`: whether it
    serves, which composition, and how many tools. If `network.allowFrom` is set, it must have Prometheus'
    namespace."""
    service_monitor_labels: Labels = Field(default_factory=dict)
    """Labels of the ServiceMonitor, by which a Prometheus may select it."""
    audit_log: bool = True
    """Whether the gateway writes one JSON line per call: tool, outcome, duration, sizes, a hash of the
    subject."""
