"""ftl-operator in the cluster, installed by its own chart, run by the node under the chart's RBAC."""

import urllib.request
from typing import Any

import yaml

from e2e.cluster.api import Object
from e2e.cluster.binaries import ROOT
from e2e.cluster.control_plane import SYSTEM_NAMESPACE, Cluster
from e2e.support.process import wait_until

NAME = "ftl-operator"
CHART = ROOT / "charts" / NAME
PODS = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=controller"
ACCOUNT = f"system:serviceaccount:{SYSTEM_NAMESPACE}:"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


class Operator:
    """The operator's release in `SYSTEM_NAMESPACE`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def install(self, replicas: int = 1, chart: Object | None = None, **settings: Any) -> "Operator":
        """Install or upgrade by helm, and wait until every replica runs and one leads.

        Args:
            replicas: How many.
            chart: Further values of the chart.
            settings: Further variables `FTL_*`.
        """
        values = self.values() | (chart or {})
        values["replicaCount"] = replicas
        values["env"] = [{"name": name, "value": str(value)} for name, value in settings.items()]
        path = self.cluster.folder / "operator-values.yaml"
        path.write_text(yaml.safe_dump(values))
        self.cluster.helm(
            *("upgrade", "--install", NAME, str(CHART), "--namespace", SYSTEM_NAMESPACE),
            # The CRD may be here already: tests of the CRD alone apply it without helm.
            *("--values", str(path), "--take-ownership"),
        )
        self.scale(replicas)
        return self

    def values(self) -> Object:
        """The chart's values for this cluster's registry."""
        registry = self.cluster.registry.address
        return {
            "publish": {
                "repository": f"{registry}/apps",
                "secretName": "registry",
                "pullSecrets": ["registry"],
            },
            "plainHttpRegistries": [registry],
            # Tests' registries and issuers have private addresses, which `*` leaves out.
            "allowedRegistries": ["*", "127.0.0.1"],
            "allowedIssuers": ["*", "127.0.0.1"],
        }

    # --- its pods ---

    def pods(self) -> list[Object]:
        found = self.cluster.api.list("v1", "Pod", SYSTEM_NAMESPACE, PODS)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def scale(self, replicas: int) -> None:
        """Change the number of replicas and wait until as many are ready, and no other pod is left."""
        target = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": SYSTEM_NAMESPACE},
        }
        self.cluster.api.merge(target, {"spec": {"replicas": replicas}}, "scale")

        def scaled() -> bool:
            every = self.cluster.api.list("v1", "Pod", SYSTEM_NAMESPACE, PODS)
            return len(every) == replicas and all(_running(pod) for pod in every)

        wait_until(f"{replicas} replicas run", scaled, 180)
        if replicas:
            wait_until("one replica leads", lambda: self.leader() in self.names(), 90)

    def names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods()]

    def leader(self) -> str:
        """The pod's name that holds the Lease, or an empty text."""
        lease = self.cluster.api.find("coordination.k8s.io/v1", "Lease", NAME, SYSTEM_NAMESPACE)
        return ((lease or {}).get("spec") or {}).get("holderIdentity") or ""

    def kill(self) -> str:
        """SIGKILL to the leader's process; the node starts its container again. Returns the pod's name."""
        name = self.leader()
        self.cluster.kill_pod(SYSTEM_NAMESPACE, name)
        return name

    def log(self) -> str:
        return "".join(self.cluster.pod_log(SYSTEM_NAMESPACE, name) for name in self.names())

    def metrics(self, pod: str = "") -> str:
        """The metrics page of a pod, by default the leader's."""
        name = pod or self.leader()
        found = self.cluster.api.get("v1", "Pod", name, SYSTEM_NAMESPACE)
        url = f"http://{found['status']['podIP']}:9090/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    # --- what it did ---

    def mark(self) -> int:
        """A place in the audit log, for `writes` and `refused`."""
        return self.cluster.audit_log.stat().st_size

    def requests(self, since: int = 0) -> list[Object]:
        """Every request of the operator's service account since a mark."""
        return [e for e in self.cluster.audit(since) if e["user"]["username"].startswith(ACCOUNT)]

    def writes(self, since: int = 0) -> list[str]:
        """Its writes since a mark, `verb path`, the Lease's renewals not counted."""
        return [
            f"{entry['verb']} {entry['requestURI']}"
            for entry in self.requests(since)
            if entry["verb"] in WRITES and entry["objectRef"]["resource"] != "leases"
        ]

    def changes(self, since: int, namespace: str) -> list[str]:
        """Its writes since a mark to anything in a namespace but an FtlApp's status and events.

        A test's namespace only: one that an earlier test left is still being deleted, and what the operator
        misses there it tries to put back, which the API server refuses.
        """
        return [
            write
            for write in self.writes(since)
            if f"/namespaces/{namespace}/" in write and "/ftlapps/" not in write and "/events" not in write
        ]

    def refused(self, since: int = 0) -> list[str]:
        """Its requests that RBAC refused since a mark."""
        return [
            f"{entry['verb']} {entry['requestURI']}"
            for entry in self.requests(since)
            if entry.get("responseStatus", {}).get("code") == 403
            and entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
        ]


def _running(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
