"""The operator's own port: `/metrics` for Prometheus, `/healthz` and `/readyz` for the kubelet."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

MAX_CONNECTIONS = 64
"""Connections that are open at once, a thread each. Any pod may connect, and the kubelet must get through."""
SILENCE_SECONDS = 10.0
"""The longest silence of a connection."""

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
            timeout = SILENCE_SECONDS

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

        self._server = _Server(address, Handler, bind_and_activate=False)
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


class _Server(ThreadingHTTPServer):
    """Closes a connection for a new one when there are too many: the oldest of the peer that has the most."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*arguments, **options)
        self._open: dict[socket.socket, str] = {}
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's types
        """Serve a connection in a thread of its own."""
        with self._guard:
            self._open[request] = str(client_address[0])
            if len(self._open) > MAX_CONNECTIONS:
                ((peer, _),) = Counter(self._open.values()).most_common(1)
                oldest = next(sock for sock, owner in self._open.items() if owner == peer)
                del self._open[oldest]
                # Its thread wakes and closes it.
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:  # noqa: ANN401 - the library's type
        """A connection has ended."""
        with self._guard:
            self._open.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's types
        """Say nothing: a client that went, or was sent away, is no error of the operator."""


def _listener(address: str, port: int) -> socket.socket:
    """A listening socket of the family that the address has. Raises OSError."""
    if address == "::" and socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server(
                (address, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
            )
        # Python was built with IPv6, but the kernel has none.
    if address == "::":
        address = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus come from other hosts
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return socket.create_server((address, port), family=found[0][0], backlog=128)
