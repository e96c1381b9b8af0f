"""A small Kubernetes client: plain dictionaries, server-side apply, watches that survive restarts."""

import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import urllib3
import yaml

Object = dict[str, Any]


class ApiError(Exception):
    """The API server's refusal: HTTP status, reason and message."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"message": body.decode(errors="replace")[:500]}
        self.status = status
        self.reason = answer.get("reason", "")
        self.message = answer.get("message", "")
        self.causes = answer.get("details", {}).get("causes", [])
        super().__init__(f"{status} {self.reason}: {self.message}")


class Api:
    """A client with the credentials of a kubeconfig file."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        self.kubeconfig = kubeconfig
        self.server: str = config["clusters"][0]["cluster"]["server"]
        context = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
        user = config["users"][0]["user"]
        self._headers = {}
        if "client-certificate" in user:
            context.load_cert_chain(user["client-certificate"], user["client-key"])
        else:
            self._headers["authorization"] = f"Bearer {user['token']}"
        self._pool = urllib3.PoolManager(ssl_context=context, maxsize=16, retries=False)
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    # --- requests ---

    def request(self, method: str, path: str, body: object = None, content: str = "application/json") -> Any:
        """One request; the parsed answer. Raises ApiError, or urllib3's error if there is no answer."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {**self._headers, "accept": "application/json"}
        if data is not None:
            headers["content-type"] = content
        answer = self._pool.request(
            method,
            self.server + path,
            body=data,
            headers=headers,
            timeout=urllib3.Timeout(connect=10, read=60),
        )
        if answer.status >= 400:
            raise ApiError(answer.status, answer.data)
        if not answer.headers.get("content-type", "").startswith("application/json"):
            return answer.data.decode()
        return json.loads(answer.data)

    def path(self, version: str, kind: str, name: str = "", namespace: str = "") -> str:
        """The URL path of an object, or of a kind's list without a name. `version` is `apps/v1` or `v1`."""
        if (version, kind) not in self._plurals:
            root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
            for resource in self.request("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    self._plurals[version, resource["kind"]] = (resource["name"], resource["namespaced"])
        if (version, kind) not in self._plurals:
            raise ApiError(404, json.dumps({"message": f"no kind {kind} in {version}"}).encode())
        plural, namespaced = self._plurals[version, kind]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if namespaced and namespace:
            root += f"/namespaces/{namespace}"
        return f"{root}/{plural}" + (f"/{name}" if name else "")

    def path_of(self, obj: Object) -> str:
        meta = obj["metadata"]
        return self.path(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace", "default"))

    # --- objects ---

    def get(self, version: str, kind: str, name: str, namespace: str = "") -> Object:
        return self.request("GET", self.path(version, kind, name, namespace))

    def find(self, version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """The object, or None if there is none."""
        try:
            return self.get(version, kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, version: str, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        query = f"?labelSelector={urllib.parse.quote(labels)}" if labels else ""
        items = self.request("GET", self.path(version, kind, "", namespace) + query)["items"]
        return [{"apiVersion": version, "kind": kind, **item} for item in items]

    def apply(self, obj: Object, manager: str = "e2e", *, dry_run: bool = False) -> Object:
        """Server-side apply, forced; with `dry_run` nothing changes and the outcome is returned."""
        query = f"?fieldManager={manager}&force=true" + ("&dryRun=All" if dry_run else "")
        return self.request("PATCH", self.path_of(obj) + query, obj, "application/apply-patch+yaml")

    def create(self, obj: Object) -> Object:
        return self.request("POST", self.path_of(obj).rpartition("/")[0], obj)

    def merge(self, obj: Object, patch: Object, subresource: str = "") -> Object:
        """A JSON merge patch (RFC 7386) of an object that is named by `obj`."""
        path = self.path_of(obj) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, patch, "application/merge-patch+json")

    def delete(self, version: str, kind: str, name: str, namespace: str = "", **options: object) -> None:
        """Delete; nothing happens if there is none."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        try:
            self.request("DELETE", self.path(version, kind, name, namespace), body)
        except ApiError as error:
            if error.status != 404:
                raise

    def apply_all(self, objects: Iterable[Object], seconds: float = 30) -> None:
        """Apply objects in order; a kind that was just defined may not be served at once."""
        for obj in objects:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    self.apply(obj)
                    break
                except ApiError as error:
                    if error.status not in (404, 409, 429, 500, 503) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)

    def watch(self, path: str, resource_version: str, seconds: int = 300) -> Iterator[tuple[str, Object]]:
        """The events of one watch request until the server ends it. Raises ApiError, 410 if too old."""
        joint = "&" if "?" in path else "?"
        query = (
            f"watch=1&allowWatchBookmarks=true&resourceVersion={resource_version}&timeoutSeconds={seconds}"
        )
        answer = self._pool.request(
            "GET",
            f"{self.server}{path}{joint}{query}",
            headers=self._headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=10, read=seconds + 30),
        )
        try:
            if answer.status >= 400:
                raise ApiError(answer.status, answer.data)
            rest = b""
            for chunk in answer.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 500), json.dumps(event["object"]).encode())
                    yield event["type"], event["object"]
        finally:
            answer.close()


class Informer:
    """The current objects of a list path, kept up to date by a watch in a thread of its own.

    Args:
        changed: Called in that thread for every change with (key, object, or None when it is gone); keys are
            `(namespace, name)`.
    """

    def __init__(
        self, api: Api, path: str, changed: Callable[[tuple[str, str], Object | None], None] | None = None
    ) -> None:
        self.items: dict[tuple[str, str], Object] = {}
        self.synced = threading.Event()
        self._api, self._path = api, path
        self._changed = changed or (lambda _key, _obj: None)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                version = self._relist()
                while not self._ended.is_set():
                    for kind, obj in self._api.watch(self._path, version):
                        if self._ended.is_set():
                            return
                        version = obj["metadata"]["resourceVersion"]
                        if kind != "BOOKMARK":
                            self._take(obj, gone=kind == "DELETED")
            except (ApiError, urllib3.exceptions.HTTPError, OSError, ValueError):
                self._ended.wait(0.3)

    def _relist(self) -> str:
        answer = self._api.request("GET", self._path)
        # The items of a list do not say themselves what they are.
        named = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        current = {_key(item): {**named, **item} for item in answer["items"]}
        for key in set(self.items) - set(current):
            self._take(self.items[key], gone=True)
        for obj in current.values():
            self._take(obj, gone=False)
        self.synced.set()
        return answer["metadata"]["resourceVersion"]

    def _take(self, obj: Object, *, gone: bool) -> None:
        key = _key(obj)
        if gone:
            self.items.pop(key, None)
        else:
            self.items[key] = obj
        self._changed(key, None if gone else obj)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def kubeconfig(path: Path, server: str, ca: Path, user: Object) -> Path:
    """Write a kubeconfig file with one cluster and one user; `user` as in the file format."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "e2e", "user": user}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    }
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path
