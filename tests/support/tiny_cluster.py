"""A cluster in a dictionary, for what the controller decides; the real one is in `e2e/`.

It keeps objects with uids and resource versions, tells the cache what a watch would, and lets `deploy` play
spin-operator and the Deployment's controller.
"""

import copy
import itertools

from ftl_operator.api import kinds
from ftl_operator.api.names import SPEC_ANNOTATION
from ftl_operator.cluster.client import ConflictError, NotFoundError, TerminatingError
from ftl_operator.cluster.write_gate import WriteGate
from ftl_operator.errors import ClusterError

APP = {"apiVersion": "ftl.tools/v1alpha1", "kind": "FtlApp"}


class TinyCluster:
    """What `kube.Kube` does, without a server. `writes` has every change, as `verb Kind/name`."""

    def __init__(self, cache, served=kinds.EVERY_API):
        self.cache = cache
        self.served = served
        self.objects = {}
        self.writes = []
        self.events = []
        self.pod_list = []
        self.pod_events_list = []
        self.completed_at = ""
        self.scaled_pods_are_ready = True
        self.log = ""
        self.reads = []
        self.refuses = set()
        self.is_terminating = False
        self.write_gate = WriteGate()
        self.refused = 0
        self._numbers = itertools.count(100)

    # As people, spin-operator and the cluster's controllers act

    def put(self, api, body, name="tools", namespace="ns"):
        """Create or replace an object as somebody else would."""
        old = self.objects.get((api, name), {})
        metadata = {"name": name, "namespace": namespace, **body.get("metadata", {})}
        metadata |= {
            "uid": old.get("metadata", {}).get("uid") or f"uid-{name}-{next(self._numbers)}",
            "resourceVersion": str(next(self._numbers)),
        }
        self.objects[api, name] = {**body, "metadata": metadata}
        return self._tell(api, name)

    def write_app(self, spec, **metadata):
        """Apply an FtlApp; its generation grows when the spec changes."""
        old = self.objects.get((kinds.FTL_APP, "tools"), {"metadata": {"generation": 0}, "spec": None})
        changed = old["spec"] != spec
        generation = old["metadata"]["generation"] + changed
        body = {**APP, "metadata": {"generation": generation, **metadata}, "spec": spec}
        if "status" in old:
            body["status"] = old["status"]
        return self.put(kinds.FTL_APP, body)

    def deploy(self, *, ready=True, replicas=None):
        """Have the Deployment be as the SpinApp says, with its pods ready or not."""
        spin = self.objects[kinds.SPIN_APP, "tools"]["spec"]
        uid = self.objects[kinds.SPIN_APP, "tools"]["metadata"]["uid"]
        old = self.objects.get((kinds.DEPLOYMENT, "tools"), {"spec": {"replicas": 1}})
        desired = spin.get("replicas", old["spec"]["replicas"]) if replicas is None else replicas
        serving = desired if ready else 0
        body = {
            "metadata": {
                "generation": 1,
                "ownerReferences": [{"kind": "SpinApp", "uid": uid}],
                "annotations": {SPEC_ANNOTATION: spin["deploymentAnnotations"][SPEC_ANNOTATION]},
            },
            "spec": {
                "replicas": desired,
                "template": {"spec": {"containers": [{"image": spin["image"]}]}},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": desired,
                "updatedReplicas": desired,
                "readyReplicas": serving,
                "availableReplicas": serving,
                "conditions": [{"type": "Available", "status": "True" if ready or not desired else "False"}],
            },
        }
        if self.completed_at:
            body["status"]["conditions"].append(
                {
                    "type": "Progressing",
                    "status": "True",
                    "reason": "NewReplicaSetAvailable",
                    "lastUpdateTime": self.completed_at,
                }
            )
        return self.put(kinds.DEPLOYMENT, body)

    def report(self, **status):
        """Have the SpinApp's status be as another runtime than spin-operator's Deployment writes it."""
        spin = self.objects[kinds.SPIN_APP, "tools"]
        return self.put(kinds.SPIN_APP, {**spin, "status": status})

    @property
    def status(self):
        """The FtlApp's status."""
        return self.objects[kinds.FTL_APP, "tools"].get("status", {})

    def condition(self, kind):
        """Status and reason of a condition."""
        found = {item["type"]: (item["status"], item["reason"]) for item in self.status.get("conditions", [])}
        return found.get(kind)

    def message(self, kind="Ready"):
        """The message of a condition."""
        return next(item["message"] for item in self.status["conditions"] if item["type"] == kind)

    # As `Kube` does

    def serves(self):
        return self.served

    def get(self, api, namespace, name):
        return copy.deepcopy(self.objects.get((api, name)))

    def pods(self, namespace, selector):
        return self.pod_list

    def pod_events(self, namespace, uid):
        self.reads.append(f"events {uid}")
        if kinds.EVENT in self.refuses:
            raise ClusterError("events is forbidden")
        return self.pod_events_list

    def pod_log(self, namespace, name, container, *, previous):
        self.reads.append(f"log {name}/{container}" + (" previous" if previous else ""))
        if kinds.POD in self.refuses:
            raise ClusterError("pods/log is forbidden")
        return self.log

    def apply(self, manifest):
        api, name = kinds.api_of(manifest), manifest["metadata"]["name"]
        if api in self.refuses:
            raise ClusterError(f"{api.kind} is refused")
        if (api, name) not in self.objects:
            self._refuse_new()
        self.writes.append(f"apply {api.kind}/{name}")
        old = self.objects.get((api, name), {})
        made = copy.deepcopy(manifest)
        if api == kinds.DEPLOYMENT:
            # Its other fields are spin-operator's; of an app's own objects the operator has all.
            made = _merged(old, made)
        generation = old.get("metadata", {}).get("generation", 0)
        made["metadata"]["generation"] = generation + (old.get("spec") != made.get("spec"))
        kept = {"status": old["status"]} if "status" in old else {}
        self.put(api, {**made, **kept}, name)
        return copy.deepcopy(self.objects[api, name])

    def create(self, api, manifest):
        name = manifest["metadata"]["name"]
        if (api, name) in self.objects:
            raise ConflictError("it exists")
        self._refuse_new()
        self.writes.append(f"create {api.kind}/{name}")
        self.put(api, copy.deepcopy(manifest), name, manifest["metadata"]["namespace"])
        return copy.deepcopy(self.objects[api, name])

    def annotate(self, api, namespace, name, annotations):
        self.writes.append(f"annotate {api.kind}/{name}")
        found = copy.deepcopy(self.objects[api, name])
        found["metadata"]["annotations"] = found["metadata"].get("annotations", {}) | annotations
        self.put(api, found, name)
        return copy.deepcopy(self.objects[api, name])

    def delete(self, api, namespace, name, uid):
        assert self.objects[api, name]["metadata"]["uid"] == uid
        self.writes.append(f"delete {api.kind}/{name}")
        self.cache.observe_event(api, self.objects.pop((api, name)), gone=True)

    def scale(self, namespace, name, replicas):
        self.writes.append(f"scale Deployment/{name} {replicas}")
        self.deploy(replicas=replicas, ready=self.scaled_pods_are_ready)

    def patch_status(self, namespace, name, version, patch):
        found = self.objects.get((kinds.FTL_APP, name))
        if found is None:
            raise NotFoundError("it is gone")
        if found["metadata"]["resourceVersion"] != version:
            raise ConflictError("it changed")
        self.writes.append(f"status FtlApp/{name}")
        status = {**found.get("status", {}), **copy.deepcopy(patch)}
        found["status"] = {field: value for field, value in status.items() if value is not None}
        found["metadata"]["resourceVersion"] = str(next(self._numbers))
        return copy.deepcopy(found)

    def post_event(self, namespace, event):
        self._refuse_new()
        self.events.append((event["type"], event["reason"]))

    def _refuse_new(self):
        if self.is_terminating:
            self.refused += 1
            raise TerminatingError("the namespace is being terminated")

    def _tell(self, api, name):
        return self.cache.observe_event(api, copy.deepcopy(self.objects[api, name]))


def _merged(old, new):
    """What two managers have applied, where their fields differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_merged(*pair) for pair in zip(old, new, strict=True)]
    return new
