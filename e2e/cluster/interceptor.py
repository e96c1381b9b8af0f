"""The interceptor of KEDA's HTTP add-on, the real program, in the cluster as the add-on's chart has it.

KEDA's operator and scaler are not here: a test reads how many requests wait, as the scaler does, and scales.
"""

import json
import urllib.request

from e2e.cluster.api import Object
from e2e.cluster.control_plane import Cluster
from e2e.support.process import wait_until

NAMESPACE = "keda"
SERVICE = "keda-add-ons-http-interceptor-proxy"
PORT = 8080
PROXY_PORT, ADMIN_PORT = 18080, 19090
"""Of its own: it listens at every address, on this node that means those of Services and other pods too."""
_LABELS = {"app.kubernetes.io/component": "interceptor", "app.kubernetes.io/part-of": "keda-add-ons-http"}


class Interceptor:
    """The interceptor's Deployment and Service."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def install(self) -> "Interceptor":
        """Start it, and wait until it is ready."""
        self.cluster.namespace(NAMESPACE, spin=False)
        self.cluster.api.apply_all(_objects())
        wait_until("the interceptor runs", self._is_ready, 120)
        return self

    def remove(self) -> None:
        """End it. The namespace stays, for other tests need it too and it could not be made anew at once."""
        self.cluster.api.delete("apps/v1", "Deployment", "interceptor", NAMESPACE)
        self.cluster.api.delete("v1", "Service", SERVICE, NAMESPACE)

    @property
    def url(self) -> str:
        """The Service's URL on this machine."""
        spec = self.cluster.api.get("v1", "Service", SERVICE, NAMESPACE)["spec"]
        return f"http://{spec['clusterIP']}:{PORT}"

    def waiting(self, namespace: str, name: str) -> int:
        """How many requests of an app it holds or passes on now."""
        address = self._pods()[0]["status"]["podIP"]
        with urllib.request.urlopen(f"http://{address}:{ADMIN_PORT}/queue", timeout=5) as answer:
            counts = json.load(answer)
        return int(counts.get(f"{namespace}/{name}", {}).get("Concurrency", 0))

    def log(self) -> str:
        return "".join(self.cluster.pod_log(NAMESPACE, pod["metadata"]["name"]) for pod in self._pods())

    def _pods(self) -> list[Object]:
        labels = ",".join(f"{name}={value}" for name, value in _LABELS.items())
        return self.cluster.api.list("v1", "Pod", NAMESPACE, labels)

    def _is_ready(self) -> bool:
        found = self.cluster.api.get("apps/v1", "Deployment", "interceptor", NAMESPACE)
        return found.get("status", {}).get("readyReplicas", 0) == 1


def _objects() -> list[Object]:
    def named(version: str, kind: str, name: str, namespace: str = NAMESPACE) -> Object:
        where = {"namespace": namespace} if namespace else {}
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where}}

    rbac = "rbac.authorization.k8s.io/v1"
    read = ["get", "list", "watch"]
    variables = {
        "KEDA_HTTP_CURRENT_NAMESPACE": NAMESPACE,
        "KEDA_HTTP_PROXY_PORT": PROXY_PORT,
        "KEDA_HTTP_ADMIN_PORT": ADMIN_PORT,
    }
    container = {
        "name": "interceptor",
        "image": "ghcr.io/kedacore/http-add-on-interceptor:0.12.0",
        "env": [{"name": name, "value": str(value)} for name, value in variables.items()],
        "ports": [
            {"name": "proxy", "containerPort": PROXY_PORT},
            {"name": "admin", "containerPort": ADMIN_PORT},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "proxy"}, "periodSeconds": 1},
    }
    return [
        named("v1", "ServiceAccount", "interceptor"),
        {
            **named(rbac, "ClusterRole", "interceptor", ""),
            "rules": [
                {"apiGroups": ["http.keda.sh"], "resources": ["httpscaledobjects"], "verbs": read},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
                {"apiGroups": [""], "resources": ["services"], "verbs": read},
            ],
        },
        {
            **named(rbac, "ClusterRoleBinding", "interceptor", ""),
            "roleRef": {"apiGroup": rbac.partition("/")[0], "kind": "ClusterRole", "name": "interceptor"},
            "subjects": [{"kind": "ServiceAccount", "name": "interceptor", "namespace": NAMESPACE}],
        },
        {
            **named("apps/v1", "Deployment", "interceptor"),
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "template": {
                    "metadata": {"labels": _LABELS},
                    "spec": {"serviceAccountName": "interceptor", "containers": [container]},
                },
            },
        },
        {
            **named("v1", "Service", SERVICE),
            "spec": {
                "selector": _LABELS,
                "ports": [{"name": "proxy", "port": PORT, "targetPort": "proxy"}],
            },
        },
    ]
