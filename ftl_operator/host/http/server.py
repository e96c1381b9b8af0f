"""Serves an application over HTTP/1.1: one thread a connection, bodies streamed.

The parser takes the strict reading of RFC 9112 wherever two readings could disagree where a request ends.
"""

import contextlib
import socket
import threading
from http.client import responses
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Protocol, Self

from ftl_operator.host.http.messages import Request, Response
from ftl_operator.host.http.parser import BadRequestError, Head, read_body, read_head
from ftl_operator.host.streams.pipe import PipeError

IDLE = 75.0
"""Seconds that a connection may wait for its next bytes."""
MAX_CONNECTIONS = 1000
"""Connections that are open at once, a thread each; further ones are told to come back."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_NO_BODY = frozenset((204, 304))


class Handler(Protocol):
    """What can be served: an application, or whatever stands for one."""

    def handle(self, request: Request) -> Response:
        """Serve one request."""
        ...


class Server:
    """A server that runs until `stop()`."""

    def __init__(self, listener: ThreadingTCPServer) -> None:
        self._listener = listener
        host, port = listener.server_address[:2]
        self.port = int(port)
        self.url = f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"
        self._thread = threading.Thread(target=listener.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, and close those that are open."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(app: Handler, address: str = "127.0.0.1", port: int = 3000) -> Server:
    """Serve an application; port 0 takes a free one. Raises OSError if the address is taken."""
    return Server(_Listener(app, address, port))


class _Listener(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, app: Handler, address: str, port: int) -> None:
        self.app = app
        self._open: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Connection)

    def process_request(
        self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object
    ) -> None:
        if isinstance(request, socket.socket):
            if len(self._open) >= MAX_CONNECTIONS:
                with contextlib.suppress(OSError):
                    request.send(_BUSY)
                self.shutdown_request(request)
                return
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: "socket.socket | tuple[bytes, socket.socket]") -> None:
        if isinstance(request, socket.socket):
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is its client's affair."""


class _Connection(StreamRequestHandler):
    timeout = IDLE
    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self._one():
                pass

    def _one(self) -> bool:
        """Serve one request; returns whether the connection can take another."""
        listener = self.server
        if not isinstance(listener, _Listener):
            return False
        try:
            head = read_head(self.rfile)
            if head is None:
                return False
            if head.expects_continue:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = read_body(self.rfile, head)
        except BadRequestError as error:
            text = f"{error}\n".encode()
            self._write(Head("GET", "/", close=True), Response(error.status, (), iter((text,))))
            self._linger()
            return False
        host, port = self.client_address[:2]
        client = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        response = listener.app.handle(Request(head.method, head.target, head.headers, body, client=client))
        return self._write(head, response)

    def _linger(self) -> None:
        """Read on for a moment: closing with bytes unread would reset the connection and lose the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        for _ in range(64):
            if not self.connection.recv(1 << 16):
                return

    def _write(self, head: Head, response: Response) -> bool:
        keep = not head.close
        names = {name.lower() for name, _ in response.headers}
        bare = head.method == "HEAD" or response.status in _NO_BODY
        chunked = not bare and "content-length" not in names and head.version >= (1, 1)
        if not bare and not chunked and "content-length" not in names:
            keep = False
        out = [f"HTTP/1.1 {response.status} {responses.get(response.status, '')}\r\n".encode()]
        out += [name.encode("latin-1") + b": " + value + b"\r\n" for name, value in response.headers]
        if chunked:
            out.append(b"transfer-encoding: chunked\r\n")
        if not keep:
            out.append(b"connection: close\r\n")
        pending = b"".join(out) + b"\r\n"
        try:
            for chunk in response.body:
                if bare or not chunk:
                    continue
                self.wfile.write(pending + (b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk))
                pending = b""
            self.wfile.write(pending + (b"0\r\n\r\n" if chunked else b""))
        except PipeError:
            # The head may be out, so only a broken connection tells the client that the body is not whole.
            keep = False
        finally:
            response.close()
        return keep
