"""The Kubernetes API client: reads, server-side apply, deletion, status and events.

Only this module imports the `kubernetes` library. Requests use REST paths built from `api/kinds.py` and plain
JSON; the library's model classes would only cost time. Every write passes the write gate, so a replica that
has lost the Lease cannot write, and one that releases it knows when its last write has ended.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration

from ftl_operator.api import kinds
from ftl_operator.api.kinds import Api, ClusterApis
from ftl_operator.cluster.write_gate import WriteGate
from ftl_operator.errors import ClusterError, Reason

FIELD_MANAGER = "ftl-operator"
"""The one field manager of everything the operator applies."""

WRITE_SECONDS = 4.5
"""How long a write may take. It is below the Lease's margin, so none lands after another replica leads."""

READ_SECONDS = 30.0
"""How long a read may take; a busy API server needs long for a page of a listing."""

LOG_SECONDS = 3.0
"""How long a pod's log may take: the API server asks the pod's node for it, which may be gone."""

LOG_LINES, LOG_BYTES = 20, 16 * 1024
"""How much of the end of a pod's log is read."""

DISCOVERY_SECONDS = 60.0
"""How long the list of served kinds is cached."""

Json = dict[str, Any]


class NotFoundError(ClusterError):
    """The object, or its kind, does not exist."""


class ConflictError(ClusterError):
    """The object exists already, has changed, or belongs to another owner."""


class TerminatingError(ClusterError):
    """The namespace is being deleted, with all objects in it."""


class Kube:
    """The cluster.

    Args:
        client: A configured API client; its connection pool and credentials are used.
        write_gate: Held during every write.
    """

    def __init__(self, client: ApiClient, write_gate: WriteGate | None = None) -> None:
        self._configuration: Configuration = client.configuration
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self.write_gate = write_gate or WriteGate()
        self._lock = threading.Lock()
        self._served: tuple[float, ClusterApis] | None = None

    @classmethod
    def connect(cls, kubeconfig: Path | None, connections: int = 16) -> "Kube":
        """Use the kubeconfig given, else the pod's ServiceAccount, else the user's default kubeconfig.

        Raises:
            ClusterError: There is no usable configuration.
        """
        configuration = Configuration()
        try:
            if kubeconfig is None and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
                kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=str(kubeconfig) if kubeconfig else None,
                    client_configuration=configuration,
                )
        except kubernetes_config.ConfigException as error:
            raise ClusterError(f"no usable cluster configuration: {error}") from error
        configuration.connection_pool_maxsize = connections
        return cls(ApiClient(configuration))

    # Reads

    def serves(self) -> ClusterApis:
        """Which owned kinds the cluster serves: one aggregated discovery request, cached for a while."""
        with self._lock:
            if self._served and time.monotonic() < self._served[0]:
                return self._served[1]
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        served = set()
        for path in ("/api", "/apis"):
            for group in self.request("GET", path, accept=accept).get("items") or ():
                served |= set(_kinds(group))
        found = ClusterApis(api for api in kinds.OWNED if (api.group, api.version, api.kind) in served)
        with self._lock:
            self._served = (time.monotonic() + DISCOVERY_SECONDS, found)
        return found

    def get(self, api: Api, namespace: str, name: str) -> Json | None:
        """An object, or None if it or its kind does not exist."""
        try:
            return self.request("GET", api.path(namespace, name))
        except NotFoundError:
            return None

    def list_metadata(
        self, api: Api, namespaces: tuple[str, ...], labels: str = "", fields: str = ""
    ) -> Iterator[Json]:
        """The metadata of every object of a kind; nothing if the cluster does not serve the kind."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        for namespace in namespaces or (None,):
            token = ""
            while True:
                query = {"limit": "250", "continue": token, "labelSelector": labels, "fieldSelector": fields}
                try:
                    page = self.request("GET", api.path(namespace), query=query, accept=accept)
                except NotFoundError:
                    break
                for item in page.get("items") or ():
                    yield {"metadata": item["metadata"]}
                token = page["metadata"].get("continue", "")
                if not token:
                    break

    def pods(self, namespace: str, selector: str) -> list[Json]:
        """The pods of a label selector, at most 50: enough to find out why an app is not available."""
        query = {"labelSelector": selector, "limit": "50"}
        pods: list[Json] = self.request("GET", kinds.POD.path(namespace), query=query).get("items") or []
        return pods

    def pod_events(self, namespace: str, uid: str) -> list[Json]:
        """The events about the pod with this uid, at most 100; a kubelet writes fewer about one pod.

        Raises:
            ClusterError: They cannot be read.
        """
        query = {"fieldSelector": f"regarding.uid={uid}", "limit": "100"}
        events: list[Json] = self.request("GET", kinds.EVENT.path(namespace), query=query).get("items") or []
        return events

    def pod_log(self, namespace: str, name: str, container: str, *, previous: bool) -> str:
        """The last lines of a container's log.

        Args:
            namespace: The pod's namespace.
            name: The pod's name.
            container: The container's name; empty if the pod has one only.
            previous: Whether to read what the container wrote before it was restarted.

        Raises:
            ClusterError: It cannot be read, or the pod's node does not answer in time.
        """
        query = {"container": container, "tailLines": str(LOG_LINES), "limitBytes": str(LOG_BYTES)}
        if previous:
            query["previous"] = "true"
        path = kinds.POD.path(namespace, name, "log")
        answer = self._exchange("GET", _target(path, query), {"Accept": "*/*"}, None, LOG_SECONDS)
        if answer.status != 200:
            raise ClusterError(f"GET {path}: HTTP {answer.status}")
        return answer.data[:LOG_BYTES].decode(errors="replace")

    # Writes

    def apply(self, manifest: Mapping[str, Any]) -> Json:
        """Server-side apply an object: sets its fields, and removes those that only an earlier apply set.

        Returns:
            The object as the cluster has it now.
        """
        metadata = manifest["metadata"]
        return self._write(
            "PATCH",
            kinds.api_of(dict(manifest)).path(metadata["namespace"], metadata["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    def create(self, api: Api, manifest: Mapping[str, Any]) -> Json:
        """Create an object.

        Returns:
            The object as the cluster has it now.

        Raises:
            ConflictError: An object of this name exists.
        """
        return self._write("POST", api.path(manifest["metadata"]["namespace"]), body=manifest)

    def annotate(self, api: Api, namespace: str, name: str, annotations: Mapping[str, str]) -> Json:
        """Add annotations to an object.

        Returns:
            The object as the cluster has it now.
        """
        return self._write(
            "PATCH",
            api.path(namespace, name),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"annotations": annotations}},
            content_type="application/merge-patch+json",
        )

    def delete(self, api: Api, namespace: str, name: str, uid: str) -> None:
        """Delete exactly the object with this uid; its dependents are deleted in the background."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        with suppress(NotFoundError):
            self._write("DELETE", api.path(namespace, name), body=body)

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Set a Deployment's replicas through its scale, as an autoscaler does."""
        self._write(
            "PATCH",
            kinds.DEPLOYMENT.path(namespace, name, "scale"),
            query={"fieldManager": FIELD_MANAGER},
            body={"spec": {"replicas": replicas}},
            content_type="application/merge-patch+json",
        )

    def patch_status(
        self, namespace: str, name: str, resource_version: str, patch: Mapping[str, Any]
    ) -> Json:
        """Merge a patch into an FtlApp's status.

        Raises:
            ConflictError: The object is no longer at `resource_version`: reconcile again.
        """
        return self._write(
            "PATCH",
            kinds.FTL_APP.path(namespace, name, "status"),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"resourceVersion": resource_version}, "status": patch},
            content_type="application/merge-patch+json",
        )

    def post_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Create an event."""
        self._write("POST", kinds.EVENT.path(namespace), body=event)

    def read_lease(self, namespace: str, name: str) -> Json | None:
        """A Lease, or None."""
        return self.get(kinds.LEASE, namespace, name)

    def write_lease(self, namespace: str, lease: Mapping[str, Any]) -> Json:
        """Create a Lease, or replace the one of its resourceVersion.

        Raises:
            ConflictError: Another replica has written it meanwhile.
        """
        metadata = lease["metadata"]
        if metadata.get("resourceVersion"):
            return self.request("PUT", kinds.LEASE.path(namespace, metadata["name"]), body=lease)
        return self.request("POST", kinds.LEASE.path(namespace), body=lease)

    # One request

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """Send one request and read its JSON.

        Raises:
            NotFoundError: 404.
            ConflictError: 409.
            ClusterError: Another refusal, or no answer in time.
        """
        headers = {"Accept": accept}
        encoded = None
        if body is not None:
            headers["Content-Type"] = content_type
            encoded = json.dumps(body, separators=(",", ":")).encode()
        answer = self._exchange(method, _target(path, query), headers, encoded, _patience(method, path))
        content = _object(answer.data)
        if answer.status < 300 and content is not None:
            return content
        reason = (content or {}).get("message") or f"HTTP {answer.status} without usable JSON"
        message = f"{method} {path}: {reason}"
        if answer.status == 404:
            raise NotFoundError(message)
        if answer.status == 409:
            raise ConflictError(message, reason=Reason.CONFLICT)
        causes = ((content or {}).get("details") or {}).get("causes") or ()
        if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
            raise TerminatingError(message)
        raise ClusterError(message)

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> urllib3.BaseHTTPResponse:
        """Send one request with the operator's credentials.

        Raises:
            ClusterError: No answer came within so many seconds.
        """
        sent = {**headers, "User-Agent": FIELD_MANAGER}
        for setting in self._credentials():
            if setting.get("in") == "header" and setting.get("value"):
                sent[setting["key"]] = setting["value"]
        url = self._configuration.host.rstrip("/") + target
        timeout = urllib3.Timeout(total=seconds)
        try:
            return self._pool.request(method, url, body=body, headers=sent, timeout=timeout, retries=False)
        except urllib3.exceptions.HTTPError as error:
            path = target.partition("?")[0]
            raise ClusterError(f"the API server does not answer {method} {path}: {error}") from error

    def _credentials(self) -> Iterator[Mapping[str, str]]:
        # Read for every request: the library renews a ServiceAccount's token when its file changes.
        yield from self._configuration.auth_settings().values()  # type: ignore[misc]

    def _write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        with self.write_gate.write():
            return self.request(method, path, query=query, body=body, content_type=content_type)


def _target(path: str, query: Mapping[str, str] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value}
    return f"{quote(path)}?{urlencode(given)}" if given else quote(path)


def _patience(method: str, path: str) -> float:
    # The leader election must not wait long for a silent API server.
    is_urgent = method != "GET" or f"/{kinds.LEASE.plural}/" in path
    return WRITE_SECONDS if is_urgent else READ_SECONDS


def _object(raw: bytes) -> Json | None:
    # The answer for a group that is not served is plain text.
    try:
        content = json.loads(raw or b"{}")
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _kinds(group: Json) -> Iterator[tuple[str, str, str]]:
    """Group, version and kind of each resource in an item of an aggregated discovery document."""
    name = group["metadata"].get("name", "")
    for version in group.get("versions", ()):
        for resource in version.get("resources", ()):
            yield name, version["version"], resource.get("responseKind", {}).get("kind", "")
