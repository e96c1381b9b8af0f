"""The node itself: registers, renews its Lease, starts a `Pod` for each pod that is bound to it."""

import datetime as dt
import itertools
import threading

import urllib3

from e2e.cluster.api import Api, ApiError, Informer, Object
from e2e.node.image import Puller
from e2e.node.pod import Pod
from e2e.node.settings import NodeSettings

CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "2000"}
"""More than the machine has, so that the pods' requests are never a limit."""


class Kubelet:
    """Keeps the node's object alive and one `Pod` per bound pod."""

    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.api = Api(settings.kubelet)
        self.puller = Puller(settings.folder / "blobs")
        self._lock = threading.Lock()
        self._pods: dict[str, Pod] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._addresses = itertools.cycle(settings.pods.hosts())
        self._used: dict[str, str] = {}

    def start(self) -> None:
        self._register()
        threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True).start()
        path = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.settings.name}"
        self._informer = Informer(self.api, path, self._changed)

    def finished(self, pod: Pod) -> None:
        """A pod's container has ended and its object is gone; its address is free again."""
        with self._lock:
            self._pods.pop(pod.uid, None)
            self._used.pop(pod.uid, None)

    def _changed(self, key: tuple[str, str], obj: Object | None) -> None:
        with self._lock:
            known = self._pods.get(self._names.get(key, ""))
            if known and (obj is None or obj["metadata"]["uid"] != known.uid):
                known.gone()
                known = None
            if obj is None:
                self._names.pop(key, None)
                return
            uid = obj["metadata"]["uid"]
            self._names[key] = uid
            if known:
                known.update(obj)
            elif uid not in self._pods and obj.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                pod = Pod(self, obj, self._address(uid))
                self._pods[uid] = pod
                pod.update(obj)

    def _address(self, uid: str) -> str:
        for candidate in self._addresses:
            if str(candidate) not in self._used.values():
                self._used[uid] = str(candidate)
                return str(candidate)
        raise AssertionError("a cycle does not end")

    def _register(self) -> None:
        name = self.settings.name
        meta = {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {}}
        try:
            self.api.create(node)
        except ApiError as error:
            if error.status != 409:
                raise
        self._beat(node)

    def _heartbeat(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.settings.name}}
        while True:
            threading.Event().wait(10)
            try:
                self._beat(node)
            except (ApiError, urllib3.exceptions.HTTPError) as error:
                print(f"heartbeat: {error}", flush=True)

    def _beat(self, node: Object) -> None:
        now = dt.datetime.now(dt.UTC)
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "the node runs Spin applications",
            "lastHeartbeatTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        status = {"capacity": CAPACITY, "allocatable": CAPACITY, "conditions": [ready]}
        self.api.merge(node, {"status": status}, "status")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.settings.name, "namespace": "kube-node-lease"},
            "spec": {
                "holderIdentity": self.settings.name,
                "leaseDurationSeconds": 40,
                "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        try:
            self.api.merge(lease, {"spec": lease["spec"]})
        except ApiError as error:
            if error.status != 404:
                raise
            self.api.create(lease)
