"""The operator's own port: `/metrics` for Prometheus, `/healthz` and `/readyz` for the kubelet."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], str]
"""Returns what is wrong; an empty text if nothing is."""


class HealthServer:
    """A small HTTP server on its own thread, so that it answers when everything else is stuck.

    Args:
        address: Address and port to listen at; `::` means every address of both families, as far as the
            machine has them, and port 0 means any free port.
        registry: The metrics.
        live: The check behind `/healthz`; a non-empty result makes the kubelet restart the pod.
        ready: The check behind `/readyz`; a non-empty result keeps the pod out of Services.
    """

    def __init__(
        self, address: tuple[str, int], registry: CollectorRegistry, *, live: Check, ready: Check
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif path in ("/healthz", "/readyz"):
                    wrong = (live if path == "/healthz" else ready)()
                    self._answer(503 if wrong else 200, (wrong or "ok").encode(), "text/plain; charset=utf-8")
                else:
                    self._answer(404, b"not found", "text/plain; charset=utf-8")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing: probes come every few seconds."""

        self._server = ThreadingHTTPServer(address, Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.socket.close()
        self._server.socket = _listener(*address)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _listener(address: str, port: int) -> socket.socket:
    """A listening socket of the family that the address has. Raises OSError."""
    if address == "::" and socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server((address, port), family=socket.AF_INET6, dualstack_ipv6=True)
        # Python was built with IPv6, but the kernel has none.
    if address == "::":
        address = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus come from other hosts
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return socket.create_server((address, port), family=found[0][0])
