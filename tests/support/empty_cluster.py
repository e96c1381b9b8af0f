"""An API server on loopback that serves every kind the operator watches and has no object of any."""

import json
import queue
import threading
from collections.abc import Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ftl_operator.api.kinds import Api
from ftl_operator.controller.watches import SELECTORS

CUSTOM_RESOURCE_DEFINITION = Api(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)
NAMESPACE = Api("", "v1", "Namespace", "namespaces")
KINDS = (*SELECTORS, CUSTOM_RESOURCE_DEFINITION, NAMESPACE)


class EmptyCluster(ThreadingHTTPServer):
    """Serves until `close`; `kubeconfig` leads to it. `watched` has the path of every watch."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.closing = threading.Event()
        self.watched: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def kubeconfig(self) -> str:
        """The content of a kubeconfig file."""
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "empty", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}
                ],
                "users": [{"name": "nobody", "user": {"token": "none"}}],
                "contexts": [{"name": "empty", "context": {"cluster": "empty", "user": "nobody"}}],
                "current-context": "empty",
            }
        )

    def close(self) -> None:
        """End every watch and stop."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: EmptyCluster

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if "watch" in parse_qs(url.query):
            self.send_response(200)
            self.end_headers()
            self.server.watched.put(url.path)
            self.server.closing.wait()
            return
        body = _answer(url.path, is_aggregated="apidiscovery" in self.headers.get("Accept", ""))
        raw = json.dumps(body).encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def _answer(path: str, *, is_aggregated: bool) -> dict[str, Any]:
    """The body for a path; empty for one that is not served."""
    if path in ("/api", "/apis"):
        return {"items": []} if is_aggregated else _groups(path)
    for api in KINDS:
        if path == api.path().rpartition("/")[0]:
            return {"resources": list(_resources(path))}
        if path == api.path():
            return {"metadata": {"resourceVersion": "1"}, "items": []}
    return {}


def _groups(path: str) -> dict[str, Any]:
    if path == "/api":
        return {"versions": ["v1"]}
    versions = sorted({(api.group, api.version) for api in KINDS if api.group})
    return {
        "groups": [
            {
                "name": group,
                "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
            }
            for group, version in versions
        ]
    }


def _resources(path: str) -> Iterable[dict[str, Any]]:
    for api in KINDS:
        if path == api.path().rpartition("/")[0]:
            yield {
                "name": api.plural,
                "kind": api.kind,
                "singularName": api.kind.lower(),
                "namespaced": api not in (NAMESPACE, CUSTOM_RESOURCE_DEFINITION),
                "verbs": ["get", "list", "watch", "patch"],
            }
