"""A distribution registry with passwords, behind a front that can fail, hold and count requests by stage.

The front is what makes "the registry was down just then" and "the operator was killed just then" exact
instead of a matter of timing. Everything it does not hold or fail is the real registry's answer.
"""

import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import urllib3

from e2e.cluster import binaries
from e2e.support.process import Process, free_port, wait_until

USER, PASSWORD = "e2e", "not-a-secret"
# bcrypt of PASSWORD, because Python's standard library cannot make one.
_HTPASSWD = f"{USER}:$2y$05$mPVuBr4peQIP3LKQAEyU0e1Sn4RopYcqtkGdJF.m0tY3vpZDPSsFW\n"
LOGIN = urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}")

WASM_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
SPIN_LAYER = "application/vnd.fermyon.spin.application.v1+config"

APPS = "apps"
"""The folder of repositories that the operator publishes to; tools lie elsewhere."""
OPEN = "open"
"""The folder of repositories that anybody may read, without a login."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that the front saw, and the status it gave back (0: none, the connection was dropped)."""

    method: str
    path: str
    status: int

    @property
    def stage(self) -> str:
        return stage_of(self.method, self.path)

    @property
    def uploads_manifest(self) -> bool:
        return self.method == "PUT" and "/manifests/" in self.path and self.status == 201


def stage_of(method: str, path: str) -> str:
    """Which stage of the operator a request belongs to: resolve, inspect, publish, manifest or other.

    `manifest` is the very last step of publishing: from then on the artifact exists.
    """
    if method == "PUT" and "/manifests/" in path:
        return "manifest"
    if path.startswith(f"/v2/{APPS}/"):
        return "publish"
    if "/manifests/" in path:
        return "resolve"
    return "inspect" if "/blobs/" in path else "other"


class Registry:
    """The registry's process, its front, and a small client that pushes artifacts.

    `address` (host:port) stays the same over `down` and restarts; the storage stays too.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._backend_port = free_port()
        self.address = f"{address}:{free_port(address)}"
        self.seen: list[Seen] = []
        self.fault: Callable[[str, str], int | threading.Event | None] = lambda _method, _path: None
        config = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": f"127.0.0.1:{self._backend_port}", "relativeurls": True},
            "auth": {"htpasswd": {"realm": "e2e", "path": str(folder / "htpasswd")}},
        }
        (folder / "htpasswd").write_text(_HTPASSWD)
        (folder / "config.yml").write_text(json.dumps(config))
        command = [str(binaries.program("registry")), "serve", str(folder / "config.yml")]
        self.process = Process("registry", command, folder / "registry.log")
        self._front: http.server.ThreadingHTTPServer | None = None
        self._pool = urllib3.PoolManager(retries=False)

    def start(self) -> "Registry":
        self.process.start()
        self.process.wait_ready(lambda: self._backend("GET", "/v2/").status == 200)
        self.open()
        return self

    def stop(self) -> None:
        self.close()
        self.process.stop()

    # --- faults ---

    def open(self) -> None:
        """Accept connections (again)."""
        host, _, port = self.address.partition(":")
        handler = type("Handler", (_Front,), {"registry": self})
        # After `close` the port may still be held by dying connections for a moment.
        self._front = wait_until(  # type: ignore[assignment]
            f"the registry's port {port}", lambda: _Server((host, int(port)), handler), 10
        )
        threading.Thread(target=self._front.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, as a registry that is down."""
        if self._front:
            self._front.shutdown()
            self._front.server_close()
            self._front.drop()
            self._front = None

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """No connection is accepted within this block."""
        self.close()
        try:
            yield
        finally:
            self.open()

    @contextlib.contextmanager
    def failing(self, stage: str, status: int = 503) -> Iterator[threading.Event]:
        """Requests of one stage are answered with an error; the event is set once that happened."""
        happened = threading.Event()

        def fault(method: str, path: str) -> int | None:
            if stage_of(method, path) != stage:
                return None
            happened.set()
            return status

        self.fault = fault
        try:
            yield happened
        finally:
            self.fault = lambda _method, _path: None

    @contextlib.contextmanager
    def holding(self, stage: str) -> Iterator[threading.Event]:
        """The first request of one stage stays without an answer; the event is set once it is there.

        At the block's end its connection is dropped without an answer.
        """
        arrived, release = threading.Event(), threading.Event()

        def fault(method: str, path: str) -> threading.Event | None:
            if stage_of(method, path) != stage:
                return None
            arrived.set()
            return release

        self.fault = fault
        try:
            yield arrived
        finally:
            self.fault = lambda _method, _path: None
            release.set()

    def pushed(self, repository: str = "") -> list[str]:
        """The paths of every manifest that was pushed (201) to a repository, or to any, in order."""
        return [
            seen.path
            for seen in list(self.seen)
            if seen.uploads_manifest and f"/v2/{repository}" in seen.path
        ]

    # --- a client for the tests ---

    @property
    def pull_secret(self) -> str:
        """The `.dockerconfigjson` that gives access."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        entry = {"username": USER, "password": PASSWORD, "auth": auth}
        return json.dumps({"auths": {self.address: entry}})

    def push_tool(self, repository: str, tag: str, wasm: bytes) -> str:
        """Push a raw Wasm artifact as `oras push` makes it; returns the reference with the tag."""
        self.push(repository, tag, {"architecture": "wasm", "os": "wasip2"}, [(WASM_LAYER, wasm)])
        return f"{self.address}/{repository}:{tag}"

    def push(self, repository: str, tag: str, config: object, layers: list[tuple[str, bytes]]) -> str:
        """Push an image of a config object and (media type, bytes) layers; the manifest's digest."""
        raw = json.dumps(config).encode()
        self._blob(repository, raw)
        for _, data in layers:
            self._blob(repository, data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", raw),
            "layers": [_descriptor(media_type, data) for media_type, data in layers],
        }
        body = json.dumps(manifest).encode()
        answer = self._backend(
            "PUT", f"/v2/{repository}/manifests/{tag}", body, {"content-type": manifest["mediaType"]}
        )
        assert answer.status == 201, answer.data
        return digest(body)

    def digest(self, repository: str, tag: str) -> str:
        """What a tag points at now."""
        accept = "application/vnd.oci.image.manifest.v1+json"
        answer = self._backend("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"accept": accept})
        assert answer.status == 200, f"{repository}:{tag}: {answer.status}"
        return answer.headers["docker-content-digest"]

    def _blob(self, repository: str, data: bytes) -> None:
        start = self._backend("POST", f"/v2/{repository}/blobs/uploads/")
        assert start.status == 202, start.data
        where = urllib.parse.urlsplit(start.headers["location"])
        path = f"{where.path}?{where.query}&digest={digest(data)}"
        done = self._backend("PUT", path, data, {"content-type": "application/octet-stream"})
        assert done.status == 201, done.data

    def _backend(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        # Not through the front: what a test pushes is not what the operator pushed.
        return self._pool.request(
            method,
            f"http://127.0.0.1:{self._backend_port}{path}",
            body=body,
            headers={**LOGIN, **(headers or {})},
            timeout=60,
        )


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: object) -> None:
        self._open: set[object] = set()
        super().__init__(*arguments)  # type: ignore[arg-type]

    def process_request(self, request: object, client_address: object) -> None:
        self._open.add(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: object) -> None:
        self._open.discard(request)
        super().shutdown_request(request)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to report: some tests kill it."""

    def drop(self) -> None:
        for request in list(self._open):
            with contextlib.suppress(OSError):
                self.shutdown_request(request)


class _Front(http.server.BaseHTTPRequestHandler):
    """Passes one request on to the registry, unless the current fault says otherwise."""

    protocol_version = "HTTP/1.1"
    registry: Registry

    def log_message(self, *_arguments: object) -> None:
        pass

    def _pass(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        fault = self.registry.fault(self.command, self.path)
        if isinstance(fault, threading.Event):
            fault.wait()
            self._note(0)
            self.close_connection = True
            return
        if isinstance(fault, int):
            self.rfile.read(length)
            self._note(fault)
            self.send_response(fault)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        backend = http.client.HTTPConnection("127.0.0.1", self.registry._backend_port, timeout=60)
        try:
            backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                backend.putheader(name, value)
            is_open = self.path.startswith(f"/v2/{OPEN}/") and self.command in ("GET", "HEAD")
            if is_open and "authorization" not in self.headers:
                backend.putheader("authorization", LOGIN["authorization"])
            backend.endheaders()
            if "chunked" in self.headers.get("transfer-encoding", ""):
                for chunk in _chunks(self.rfile):
                    backend.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                backend.send(b"0\r\n\r\n")
            while length > 0:
                data = self.rfile.read(min(length, 1 << 18))
                length -= len(data)
                backend.send(data)
            answer = backend.getresponse()
            self._note(answer.status)
            self._answer(answer)
        except OSError:
            self._note(0)
            self.close_connection = True
        finally:
            backend.close()

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status)
        sized = "content-length" in answer.headers
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if not sized and self.command != "HEAD":
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        while data := answer.read(1 << 18):
            self.wfile.write(data)

    def _note(self, status: int) -> None:
        self.registry.seen.append(Seen(self.command, self.path, status))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815


def _chunks(stream: object) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0], 16):  # type: ignore[attr-defined]
        yield stream.read(size)  # type: ignore[attr-defined]
        stream.readline()  # type: ignore[attr-defined]
    stream.readline()  # type: ignore[attr-defined]
