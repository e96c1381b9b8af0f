"""The kinds of objects that the operator reads or writes, with group, version and plural.

Manifests, the client, the watches and the RBAC rules all use this table.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Api:
    """A kind at one version, and its plural in URLs."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """The value of an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of a collection or of one object."""
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        return f"{path}/{subresource}" if subresource else path


FTL_APP = Api("ftl.tools", "v1alpha1", "FtlApp", "ftlapps")
SPIN_APP = Api("core.spinkube.dev", "v1alpha1", "SpinApp", "spinapps")
SPIN_APP_EXECUTOR = Api("core.spinkube.dev", "v1alpha1", "SpinAppExecutor", "spinappexecutors")
DEPLOYMENT = Api("apps", "v1", "Deployment", "deployments")
POD = Api("", "v1", "Pod", "pods")
SECRET = Api("", "v1", "Secret", "secrets")
CONFIG_MAP = Api("", "v1", "ConfigMap", "configmaps")
EVENT = Api("events.k8s.io", "v1", "Event", "events")
LEASE = Api("coordination.k8s.io", "v1", "Lease", "leases")
HORIZONTAL_POD_AUTOSCALER = Api("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SCALED_OBJECT = Api("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
HTTP_SCALED_OBJECT = Api("http.keda.sh", "v1alpha1", "HTTPScaledObject", "httpscaledobjects")
INTERCEPTOR_ROUTE = Api("http.keda.sh", "v1beta1", "InterceptorRoute", "interceptorroutes")
SERVICE_MONITOR = Api("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors")
POD_DISRUPTION_BUDGET = Api("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Api("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
CILIUM_NETWORK_POLICY = Api("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
SERVICE = Api("", "v1", "Service", "services")
INGRESS = Api("networking.k8s.io", "v1", "Ingress", "ingresses")
HTTP_ROUTE = Api("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")

OWNED = (
    CONFIG_MAP,
    NETWORK_POLICY,
    CILIUM_NETWORK_POLICY,
    SPIN_APP,
    INTERCEPTOR_ROUTE,
    HORIZONTAL_POD_AUTOSCALER,
    SCALED_OBJECT,
    HTTP_SCALED_OBJECT,
    POD_DISRUPTION_BUDGET,
    SERVICE_MONITOR,
    SERVICE,
    INGRESS,
    HTTP_ROUTE,
)
"""The kinds that an FtlApp may own, in the order in which they are applied: policies come before pods."""

SCALERS = (HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT, HTTP_SCALED_OBJECT)
"""Autoscalers. KEDA's webhook refuses a second one for the same Deployment."""

BY_KIND = {(api.group, api.kind): api for api in (*OWNED, DEPLOYMENT)}
"""The kinds that the operator applies: those that an FtlApp owns, and its part of the Deployment."""

ClusterApis = frozenset[Api]
"""The kinds of this module that a cluster serves."""

EVERY_API: ClusterApis = frozenset(OWNED)
"""A cluster that serves every kind, which is `render`'s default."""


def api_of(manifest: dict[str, object]) -> Api:
    """The kind of a manifest that the operator applies."""
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    return BY_KIND[group, str(manifest["kind"])]
