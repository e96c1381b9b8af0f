"""KEDA's operator, played as far as ScaledObjects with an external scaler need it.

The real one links a hundred clouds' libraries, which take ten minutes to compile. This one asks the real
scaler, over its real protocol, and does with the answer what KEDA 2.21 does: `pkg/scaling/executor` for zero,
`HorizontalPodAutoscaler` for more, `controllers/keda/scaledobject_finalizer.go` at the end.
"""

import json
import threading
import time

import urllib3

from e2e.cluster import binaries
from e2e.cluster.api import ApiError, Object
from e2e.cluster.control_plane import Cluster

FINALIZER = "finalizer.keda.sh"
KEDA = "keda.sh/v1alpha1"
LOOK_SECONDS = 0.2
"""How often the scaler is asked; the add-on's scaler streams to KEDA as often."""


class Keda:
    """Scales the Deployments of ScaledObjects from `start` to `stop`.

    Attributes:
        errors: What the scaler or the API server refused, without repetitions in a row.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.errors: list[str] = []
        self._cluster = cluster
        self._active: dict[str, float] = {}
        self._ended = threading.Event()

    def start(self) -> "Keda":
        self._asking = self._cluster.open_in_cluster(str(binaries.target("http-add-on") / "ask-scaler"))
        self._thread = threading.Thread(target=self._run, name="keda", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop scaling; the ScaledObjects that are left lose KEDA's finalizer."""
        self._ended.set()
        self._thread.join(30)
        for scaled in self._cluster.api.list(KEDA, "ScaledObject"):
            self._release(scaled)
        self._asking.terminate()
        self._asking.wait()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                for scaled in self._cluster.api.list(KEDA, "ScaledObject"):
                    self._reconcile(scaled)
            except (ApiError, urllib3.exceptions.HTTPError) as error:
                self._note(str(error))

    def _note(self, error: str) -> None:
        if self.errors[-1:] != [error]:
            self.errors.append(error)

    def _reconcile(self, scaled: Object) -> None:
        meta, spec = scaled["metadata"], scaled["spec"]
        triggers = [trigger for trigger in spec["triggers"] if trigger["type"] == "external-push"]
        deployment = self._deployment(scaled)
        if deployment is None or not triggers:
            if "deletionTimestamp" in meta:
                self._release(scaled)
            return
        replicas = deployment["spec"]["replicas"]
        if "deletionTimestamp" in meta:
            if spec.get("advanced", {}).get("restoreToOriginalReplicaCount"):
                self._scale(deployment, scaled.get("status", {}).get("originalReplicaCount", replicas))
            self._release(scaled)
            return
        if FINALIZER not in meta.get("finalizers", []):
            self._cluster.api.merge(scaled, {"metadata": {"finalizers": [FINALIZER]}})
            self._cluster.api.merge(scaled, {"status": {"originalReplicaCount": replicas}}, "status")
        asked = [self._ask(meta, trigger["metadata"]) for trigger in triggers]
        if any("error" in told for told in asked):
            return
        wanted = max(told["pods"] for told in asked)
        self._decide(deployment, spec, wanted if any(told["active"] for told in asked) else 0)

    def _ask(self, meta: Object, metadata: dict[str, str]) -> Object:
        question = {
            "address": metadata["scalerAddress"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "metadata": metadata,
        }
        assert self._asking.stdin is not None
        assert self._asking.stdout is not None
        self._asking.stdin.write(json.dumps(question) + "\n")
        self._asking.stdin.flush()
        told: Object = json.loads(self._asking.stdout.readline())
        if "error" in told:
            self._note(f"{meta['namespace']}/{meta['name']}: {told['error']}")
        return told

    def _decide(self, deployment: Object, spec: Object, wanted: int) -> None:
        uid, now = deployment["metadata"]["uid"], time.monotonic()
        replicas, least = deployment["spec"]["replicas"], spec.get("minReplicaCount", 0)
        if wanted:
            self._active[uid] = now
        # An object without requests so far has no cooldown.
        is_cooling = now - self._active.get(uid, float("-inf")) < spec.get("cooldownPeriod", 300)
        if not wanted and is_cooling:
            return
        aim = min(max(wanted, least), spec.get("maxReplicaCount", 100))
        # A HorizontalPodAutoscaler waits five minutes before it scales down; the tests do not.
        if aim > replicas or (not wanted and aim < replicas):
            self._scale(deployment, aim)

    def _deployment(self, scaled: Object) -> Object | None:
        target = scaled["spec"]["scaleTargetRef"]
        return self._cluster.api.find(
            "apps/v1", "Deployment", target["name"], scaled["metadata"]["namespace"]
        )

    def _scale(self, deployment: Object, replicas: int) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": deployment["metadata"]}
        self._cluster.api.merge(target, {"spec": {"replicas": replicas}}, "scale")

    def _release(self, scaled: Object) -> None:
        if FINALIZER in scaled["metadata"].get("finalizers", []):
            self._cluster.api.merge(scaled, {"metadata": {"finalizers": None}})
