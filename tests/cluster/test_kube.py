"""How the client reports an API server's refusals; only its writes pass the gate."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest
from kubernetes.client import ApiClient, Configuration

from ftl_operator.api import kinds
from ftl_operator.cluster import client
from ftl_operator.cluster.client import ConflictError, Kube, NotFoundError, TerminatingError
from ftl_operator.cluster.write_gate import NotLeaderError
from ftl_operator.errors import ClusterError

MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}}
TERMINATING = {
    "kind": "Status",
    "code": 403,
    "reason": "Forbidden",
    "message": 'configmaps "a" is forbidden: unable to create new content in namespace ns',
    "details": {
        "causes": [{"reason": "NamespaceTerminating", "message": "namespace ns is being terminated"}]
    },
}


class Server(ThreadingHTTPServer):
    """Answers every request with `status` and `body`, and keeps what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.status, self.body = 200, {}
        self.asked, self.queries = [], []
        self.arrived, self.hold = threading.Event(), threading.Event()
        self.hold.set()


class Answers(BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(f"{self.command} {self.path.partition('?')[0]}")
        self.server.queries.append(dict(parse_qsl(self.path.partition("?")[2])))
        self.server.arrived.set()
        self.server.hold.wait(10)
        body = self.server.body
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self):
        self.answer()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that the server calls

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join(10)


@pytest.fixture
def kube(server):
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    return Kube(ApiClient(configuration))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, TERMINATING, TerminatingError),
        (403, TERMINATING | {"details": {}}, ClusterError),
        (404, {"message": "no such thing"}, NotFoundError),
        (409, {"message": "it changed"}, ConflictError),
        (500, {}, ClusterError),
    ],
)
def test_a_refusal_is_told_apart_by_its_cause(server, kube, status, body, kind):
    server.status, server.body = status, body
    with pytest.raises(ClusterError) as caught:
        kube.apply(MANIFEST)
    assert type(caught.value) is kind
    assert body.get("message", f"HTTP {status}") in str(caught.value) or status == 500


def test_nothing_but_the_lease_is_written_through_a_closed_fence(server, kube):
    assert kube.write_gate.close(0)
    writes = [
        lambda: kube.apply(MANIFEST),
        lambda: kube.delete(kinds.CONFIG_MAP, "ns", "a", "uid"),
        lambda: kube.scale("ns", "a", 1),
        lambda: kube.patch_status("ns", "a", "1", {}),
        lambda: kube.post_event("ns", {}),
    ]
    for write in writes:
        with pytest.raises(NotLeaderError):
            write()
    assert server.asked == []
    kube.get(kinds.CONFIG_MAP, "ns", "a")
    kube.write_lease("ns", {"metadata": {"name": "lease"}})
    assert [entry.split()[0] for entry in server.asked] == ["GET", "POST"]


def test_the_fence_is_not_closed_before_a_write_has_ended(server, kube):
    server.hold.clear()
    writing = threading.Thread(target=kube.apply, args=(MANIFEST,))
    writing.start()
    assert server.arrived.wait(10)
    assert not kube.write_gate.close(0.05)
    server.hold.set()
    assert kube.write_gate.close(10)
    writing.join(10)


def test_events_are_asked_for_by_the_uid_of_a_pod(kube, server):
    server.body = {"items": [{"reason": "FailedMount"}]}
    assert kube.pod_events("ns", "uid-1") == [{"reason": "FailedMount"}]
    assert server.asked == ["GET /apis/events.k8s.io/v1/namespaces/ns/events"]
    assert server.queries[0]["fieldSelector"] == "regarding.uid=uid-1"
    server.body = {"items": None}
    assert kube.pod_events("ns", "uid-1") == []


def test_of_a_log_a_bounded_end_is_read(kube, server):
    server.body = b"Error: \xff" + b"x" * 2 * client.LOG_BYTES
    log = kube.pod_log("ns", "a-1", "tools", previous=True)
    assert log.startswith("Error: \N{REPLACEMENT CHARACTER}x")
    assert len(log) <= client.LOG_BYTES
    assert server.asked == ["GET /api/v1/namespaces/ns/pods/a-1/log"]
    assert server.queries == [
        {"container": "tools", "tailLines": "20", "limitBytes": "16384", "previous": "true"}
    ]
    kube.pod_log("ns", "a-1", "", previous=False)
    assert server.queries[1] == {"tailLines": "20", "limitBytes": "16384"}


def test_a_log_that_cannot_be_had_is_an_error_without_its_text(kube, server):
    server.status, server.body = 500, b"dial tcp 10.0.0.1:10250: hunter2"
    with pytest.raises(ClusterError, match=r"HTTP 500$"):
        kube.pod_log("ns", "a-1", "tools", previous=False)
