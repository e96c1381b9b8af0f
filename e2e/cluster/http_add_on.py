"""KEDA's HTTP add-on, its real programs, in the cluster as the add-on's chart has them.

`keda.Keda` plays KEDA's own operator. Of the add-on's version 0.12, which knows HTTPScaledObject only, there
is the interceptor alone; a test scales in the place of the rest.
"""

import json
import urllib.request

import yaml

from e2e.cluster import binaries
from e2e.cluster.api import Object
from e2e.cluster.control_plane import Cluster
from e2e.cluster.keda import Keda
from e2e.support.process import wait_until

NAMESPACE = "keda"
SERVICE = "keda-add-ons-http-interceptor-proxy"
SCALER = "keda-add-ons-http-external-scaler"
PORT, SCALER_PORT = 8080, 9090
OLD, NEW = "0.12.0", "0.15.0"
ROUTES = "interceptorroutes.http.keda.sh"
"""The CRD that version 0.14 brought."""

# Of their own: the programs listen at every address, which here includes those of Services and other pods.
_PROXY_PORT, _ADMIN_PORT, _GRPC_PORT = 18080, 19090, 19092
_ADMIN = "keda-add-ons-http-interceptor-admin"
_ENVIRONMENT: dict[str, Object] = {
    "interceptor": {
        "KEDA_HTTP_CURRENT_NAMESPACE": NAMESPACE,
        "KEDA_HTTP_PROXY_PORT": _PROXY_PORT,
        "KEDA_HTTP_ADMIN_PORT": _ADMIN_PORT,
        "KEDA_HTTP_SHUTDOWN_DELAY": "0s",
        # A connection for each request: one that is kept leads to a pod that is about to end, too.
        "KEDA_HTTP_MAX_IDLE_CONNS_PER_HOST": -1,
        "OTEL_PROM_EXPORTER_ENABLED": "false",
    },
    "scaler": {
        "KEDA_HTTP_SCALER_PORT": _GRPC_PORT,
        "KEDA_HTTP_SCALER_TARGET_ADMIN_NAMESPACE": NAMESPACE,
        "KEDA_HTTP_SCALER_TARGET_ADMIN_SERVICE": _ADMIN,
        "KEDA_HTTP_SCALER_TARGET_ADMIN_DEPLOYMENT": "interceptor",
        "KEDA_HTTP_SCALER_TARGET_ADMIN_PORT": _ADMIN_PORT,
        "OTEL_PROM_EXPORTER_ENABLED": "false",
    },
    "operator": {
        "KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_SERVICE": SCALER,
        "KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_PORT": SCALER_PORT,
        "KEDA_HTTP_OPERATOR_NAMESPACE": NAMESPACE,
    },
}
_ARGUMENTS = {"operator": ["--metrics-bind-address=0", "--health-probe-bind-address=0"]}
_PORTS = {
    "interceptor": {"proxy": _PROXY_PORT, "admin": _ADMIN_PORT},
    "scaler": {"grpc": _GRPC_PORT},
    "operator": {},
}


class HttpAddOn:
    """The add-on's Deployments and Services.

    Attributes:
        keda: What scales, with version `NEW`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.keda: Keda | None = None

    def install(self, version: str) -> "HttpAddOn":
        """Start a version in the place of another, and wait until it is ready.

        Args:
            version: `NEW` with all its parts, `OLD` with the interceptor only.
        """
        self.cluster.namespace(NAMESPACE, spin=False)
        parts = ("interceptor", "scaler", "operator") if version == NEW else ("interceptor",)
        self._stop([part for part in _PORTS if part not in parts])
        for part in parts:
            self.cluster.api.apply_all([*_account(part), _deployment(part, version)])
        self.cluster.api.apply_all(
            [
                _service(SERVICE, "interceptor", PORT, "proxy"),
                _service(_ADMIN, "interceptor", SCALER_PORT, "admin"),
                _service(SCALER, "scaler", SCALER_PORT, "grpc"),
            ]
        )
        for part in parts:
            wait_until(f"the {part} {version} runs", lambda part=part: self._runs(part, version), 120)
        if version == NEW and self.keda is None:
            self.keda = Keda(self.cluster).start()
        return self

    def remove(self) -> None:
        """End it. The namespace stays, for other tests need it too and it could not be made anew at once."""
        self.serve_routes(served=True)
        self._stop(list(_PORTS))
        for name in (SERVICE, _ADMIN, SCALER):
            self.cluster.api.delete("v1", "Service", name, NAMESPACE)

    def serve_routes(self, *, served: bool) -> None:
        """Serve InterceptorRoute or do not, as before version 0.14; its objects stay."""
        crd = self.cluster.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", ROUTES)
        (version,) = crd["spec"]["versions"]
        self.cluster.api.merge(crd, {"spec": {"versions": [{**version, "served": served}]}})

        def is_served() -> bool:
            versions = self.cluster.api.request("GET", "/apis/http.keda.sh")["versions"]
            return any(version["version"] == "v1beta1" for version in versions)

        wait_until(f"InterceptorRoute is served: {served}", lambda: is_served() == served)

    @property
    def url(self) -> str:
        """The URL of the interceptor's Service on this machine."""
        spec = self.cluster.api.get("v1", "Service", SERVICE, NAMESPACE)["spec"]
        return f"http://{spec['clusterIP']}:{PORT}"

    def waiting(self, namespace: str, name: str) -> int:
        """How many requests of an app the interceptor holds or passes on now."""
        address = self._pods("interceptor")[0]["status"]["podIP"]
        with urllib.request.urlopen(f"http://{address}:{_ADMIN_PORT}/queue", timeout=5) as answer:
            counts = json.load(answer)
        return int(counts.get(f"{namespace}/{name}", {}).get("Concurrency", 0))

    def log(self) -> str:
        """What its programs have written, and what its scaler refused."""
        pods = [pod for part in _PORTS for pod in self._pods(part)]
        logs = [self.cluster.pod_log(NAMESPACE, pod["metadata"]["name"]) for pod in pods]
        return "\n".join([*logs, *(self.keda.errors if self.keda else [])])

    def _stop(self, parts: list[str]) -> None:
        if self.keda is not None and "scaler" in parts:
            self.keda.stop()
            self.keda = None
        for part in parts:
            self.cluster.api.delete("apps/v1", "Deployment", part, NAMESPACE)
            wait_until(f"no {part} runs", lambda part=part: not self._pods(part), 60)

    def _pods(self, part: str) -> list[Object]:
        labels = ",".join(f"{name}={value}" for name, value in _labels(part).items())
        return self.cluster.api.list("v1", "Pod", NAMESPACE, labels)

    def _runs(self, part: str, version: str) -> bool:
        found = [
            (pod["spec"]["containers"][0]["image"].rpartition(":")[2], condition["status"])
            for pod in self._pods(part)
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready"
        ]
        return found == [(version, "True")]


def _named(version: str, kind: str, name: str, namespace: str = NAMESPACE) -> Object:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where}}


def _labels(part: str) -> dict[str, str]:
    return {"app.kubernetes.io/component": part, "app.kubernetes.io/part-of": "keda-add-ons-http"}


def _account(part: str) -> list[Object]:
    """A part's ServiceAccount with the add-on's own role for it."""
    text = (binaries.http_add_on_files() / part / "role.yaml").read_text()
    (role,) = [item for item in yaml.safe_load_all(text) if item and item["kind"] == "ClusterRole"]
    rbac = role["apiVersion"]
    return [
        _named("v1", "ServiceAccount", part),
        {**role, "metadata": {"name": f"http-add-on-{part}"}},
        {
            **_named(rbac, "ClusterRoleBinding", f"http-add-on-{part}", ""),
            "roleRef": {
                "apiGroup": rbac.partition("/")[0],
                "kind": "ClusterRole",
                "name": f"http-add-on-{part}",
            },
            "subjects": [{"kind": "ServiceAccount", "name": part, "namespace": NAMESPACE}],
        },
    ]


def _deployment(part: str, version: str) -> Object:
    container: Object = {
        "name": part,
        "image": f"ghcr.io/kedacore/http-add-on-{part}:{version}",
        "args": _ARGUMENTS.get(part, []),
        "env": [{"name": name, "value": str(value)} for name, value in _ENVIRONMENT[part].items()],
        "ports": [{"name": name, "containerPort": port} for name, port in _PORTS[part].items()],
    }
    if part == "interceptor":
        port = "proxy" if version == OLD else "admin"
        container["readinessProbe"] = {"httpGet": {"path": "/readyz", "port": port}, "periodSeconds": 1}
    return {
        **_named("apps/v1", "Deployment", part),
        "spec": {
            "selector": {"matchLabels": _labels(part)},
            # Two versions have the same ports of this machine.
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": _labels(part)},
                "spec": {"serviceAccountName": part, "containers": [container]},
            },
        },
    }


def _service(name: str, part: str, port: int, target: str) -> Object:
    ports = [{"name": target, "port": port, "targetPort": target}]
    return {**_named("v1", "Service", name), "spec": {"selector": _labels(part), "ports": ports}}
