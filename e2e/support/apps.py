"""FtlApps in tests: build one, wait for its conditions, speak MCP to it, and watch it without a gap."""

import copy
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import urllib3

from e2e.cluster.api import ApiError, Object
from e2e.cluster.control_plane import Cluster
from e2e.support.process import HarnessError, wait_until

FTL = "ftl.tools/v1alpha1"

OWNED_KINDS = (
    ("core.spinkube.dev/v1alpha1", "SpinApp"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.k8s.io/v1", "Ingress"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("http.keda.sh/v1alpha1", "HTTPScaledObject"),
    ("http.keda.sh/v1beta1", "InterceptorRoute"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
)
"""Everything that an FtlApp may bring about, directly or through spin-operator."""


def tool(name: str, image: str, **fields: Any) -> Object:
    """An entry of `spec.tools`."""
    return {"name": name, "image": image, **fields}


class App:
    """One FtlApp in the cluster. `spec` may be changed between calls of `apply`."""

    def __init__(
        self, cluster: Cluster, namespace: str, *tools: Object, name: str = "tools", **spec: Any
    ) -> None:
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self.spec: Object = {
            "access": "public",
            "tools": list(tools),
            "imagePullSecrets": [{"name": "registry"}],
            # Tests need no patience: the probes' periods are as short as the API has them.
            "runtime": {
                "checks": {"readiness": {"periodSeconds": 1, "failureThreshold": 1}},
                "drainSeconds": 5,
                **spec.pop("runtime", {}),
            },
            **spec,
        }
        self._nudges = itertools.count(1)

    @property
    def manifest(self) -> Object:
        return {
            "apiVersion": FTL,
            "kind": "FtlApp",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": copy.deepcopy(self.spec),
        }

    @property
    def repository(self) -> str:
        """Where the operator publishes the app, without the registry."""
        return f"apps/{self.namespace}/{self.name}"

    def apply(self) -> "App":
        self.cluster.api.apply(self.manifest, "kubectl")
        return self

    def get(self) -> Object:
        return self.cluster.api.get(FTL, "FtlApp", self.name, self.namespace)

    def status(self) -> Object:
        return self.get().get("status", {})

    def delete(self) -> None:
        self.cluster.api.delete(FTL, "FtlApp", self.name, self.namespace)

    def nudge(self) -> None:
        """Ask for a reconcile now, by the annotation that Argo CD's action sets, and wait for its echo."""
        value = f"e2e-{time.time()}-{next(self._nudges)}"
        annotations = {"ftl.tools/reconcile": value}
        self.cluster.api.merge(self.manifest, {"metadata": {"annotations": annotations}})
        wait_until(
            "the reconcile is handled", lambda: self.status().get("lastHandledReconcileAt") == value, 60
        )

    # --- conditions ---

    def condition(self, kind: str) -> Object:
        """A condition for the current generation, or an empty object."""
        found = self.get()
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return {}
        return next((c for c in status.get("conditions", []) if c["type"] == kind), {})

    def is_true(self, kind: str) -> bool:
        return self.condition(kind).get("status") == "True"

    def wait(
        self, kind: str = "Ready", status: str = "True", seconds: float = 60, reason: str = ""
    ) -> Object:
        """Wait for a condition of the current generation; told with every condition if it does not come."""

        def there() -> Object | None:
            condition = self.condition(kind)
            fits = condition.get("status") == status and reason in ("", condition.get("reason"))
            return condition if fits else None

        try:
            return wait_until(f"{self.name}: {kind}={status} {reason}", there, seconds)  # type: ignore[return-value]
        except HarnessError as error:
            raise AssertionError(f"{error}\n{self.explain()}") from error

    def explain(self) -> str:
        """The conditions and pods, for a failure's message."""
        found = self.cluster.api.find(FTL, "FtlApp", self.name, self.namespace) or {}
        lines = [
            f"{c['type']}={c['status']} {c['reason']} ({c.get('observedGeneration')}): {c.get('message')}"
            for c in found.get("status", {}).get("conditions", [])
        ]
        lines.append(f"generation {found.get('metadata', {}).get('generation')}")
        for pod in self.pods():
            states = [s.get("state") for s in pod["status"].get("containerStatuses", [])]
            lines.append(f"pod {pod['metadata']['name']} {pod['status'].get('phase')} {states}")
        return "\n".join(lines)

    # --- what runs ---

    def pods(self) -> list[Object]:
        return self.cluster.api.list("v1", "Pod", self.namespace, f"core.spinkube.dev/app-name={self.name}")

    def deployment(self) -> Object:
        return self.cluster.api.get("apps/v1", "Deployment", self.name, self.namespace)

    def lasting_pods(self) -> set[str]:
        """The uids of its pods that nobody has told to end: those of an earlier template sleep first."""
        return {pod["metadata"]["uid"] for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]}

    def container(self) -> Object:
        """The container of the Deployment's template."""
        (container,) = self.deployment()["spec"]["template"]["spec"]["containers"]
        found: Object = container
        return found

    def spin_app(self) -> Object:
        return self.cluster.api.get("core.spinkube.dev/v1alpha1", "SpinApp", self.name, self.namespace)

    def scale(self, replicas: int) -> None:
        """Scale the Deployment as an HPA or KEDA does it."""
        target = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": self.namespace},
        }
        self.cluster.api.merge(target, {"spec": {"replicas": replicas}}, "scale")

    def roll_out(self, seconds: float = 90) -> None:
        """Wait until the app is Ready and no pod of another version is left, not even one that is ending."""
        self.wait(seconds=seconds)
        image = self.status()["image"]

        def rolled() -> bool:
            running = [pod["spec"]["containers"][0]["image"] for pod in self.pods()]
            return bool(running) and set(running) == {image}

        wait_until("only the new version's pods are left", rolled, seconds)

    def owned(self) -> set[str]:
        """`Kind/name` of everything in the namespace that belongs to an FtlApp or a SpinApp."""
        found = set()
        for version, kind in OWNED_KINDS:
            try:
                listed = self.cluster.api.list(version, kind, self.namespace)
            except ApiError as error:
                if error.status != 404:
                    raise
                # A test has the cluster serve one kind less.
                continue
            for obj in listed:
                if obj["metadata"].get("ownerReferences") or obj["metadata"]["name"].startswith(self.name):
                    found.add(f"{kind}/{obj['metadata']['name']}")
        return found

    @property
    def url(self) -> str:
        """The Service's URL on this machine."""
        spec = self.cluster.api.get("v1", "Service", self.name, self.namespace)["spec"]
        return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"

    @property
    def mcp(self) -> "Mcp":
        return Mcp(self.url)


class McpError(Exception):
    """An HTTP status other than 200, or a JSON-RPC error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


@dataclass
class Mcp:
    """An MCP client of revision 2025-06-18 in the few lines that a stateless server needs."""

    url: str
    token: str = ""
    timeout: float = 20
    host: str = ""

    def request(self, method: str, **params: Any) -> Object:
        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18",
            # Every request is a connection of its own, so every one goes through the Service's choice.
            "connection": "close",
        }
        if self.host:
            headers["host"] = self.host
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        answer = urllib3.request(
            "POST",
            f"{self.url}/mcp",
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=5, read=self.timeout),
            retries=False,
        )
        if answer.status != 200:
            raise McpError(answer.status, answer.data.decode(errors="replace")[:500])
        message = json.loads(answer.data)
        if "error" in message:
            raise McpError(200, json.dumps(message["error"]))
        return message["result"]

    def tools(self) -> list[str]:
        return [entry["name"] for entry in self.request("tools/list")["tools"]]

    def call(self, name: str, **arguments: Any) -> Object:
        """Call a tool of `e2e/tools` and return the JSON that it answers with."""
        result = self.request("tools/call", name=name, arguments=arguments)
        return json.loads(result["content"][0]["text"])


@dataclass
class Traffic:
    """A client that calls a tool all the time, from `start` to `stop`, and notes every failure."""

    app: App
    tool: str
    every: float = 0.05
    answers: int = 0
    versions: list[str] = field(default_factory=list)
    """What answered, without repetitions in a row."""
    answered: list[tuple[float, str]] = field(default_factory=list)
    """When each answered request was sent (monotonic seconds), and the version that answered it."""
    failures: list[str] = field(default_factory=list)
    through: Mcp | None = None
    """Where it calls; by default the app's Service."""
    arguments: Object = field(default_factory=dict)
    """What it calls the tool with."""

    def __enter__(self) -> Self:
        self._mcp = self.through or self.app.mcp
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()
        wait_until("the client gets answers", lambda: self.answers > 3 or self.failures)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def since(self, moment: float) -> set[str]:
        """The versions that answered requests sent at that moment or later, of which it waits for a few."""
        start = len(self.answered)
        wait_until("a few more answers", lambda: len(self.answered) > start + 5)
        return {version for sent, version in list(self.answered) if sent >= moment}

    def check(self) -> None:
        """No request has failed, and there were some."""
        assert not self.failures, f"{len(self.failures)} of {self.answers}: {self.failures[:5]}"
        assert self.answers > 3

    def _run(self) -> None:
        while not self._ended.wait(self.every):
            at, sent = time.strftime("%H:%M:%S"), time.monotonic()
            try:
                version = self._mcp.call(self.tool, **self.arguments)["version"]
            except (McpError, urllib3.exceptions.HTTPError, OSError, ValueError, KeyError) as error:
                self.failures.append(f"{at} {error!r}")
                continue
            self.answers += 1
            self.answered.append((sent, version))
            if not self.versions or self.versions[-1] != version:
                self.versions.append(version)
