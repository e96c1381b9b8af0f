"""Serves an application over HTTP/1.1, one thread a connection, bodies streamed."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self

from .messages import Request, Response
from .pipe import PipeError

_NO_BODY = (204, 304)


class Application(Protocol):
    """What can be served: a `HostApp`, or something that chooses one."""

    def handle(self, request: Request) -> Response:
        """Serve one request; never raises."""


class Server:
    """A server that runs until `stop()`."""

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self._http = http
        host, port = http.server_address[:2]
        text = host.decode() if isinstance(host, bytes) else str(host)
        self.port = int(port)
        self.url = f"http://[{text}]:{port}" if ":" in text else f"http://{text}:{port}"
        self._thread = threading.Thread(target=http.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(app: Application, address: str = "127.0.0.1", port: int = 3000) -> Server:
    """Serve an application; port 0 takes a free one. Raises OSError if the address is taken."""
    handler = type("Handler", (_Handler,), {"app": app})
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = type(
        "_Http",
        (ThreadingHTTPServer,),
        {"address_family": family, "daemon_threads": True, "request_queue_size": 256},
    )
    return Server(kind((address, port), handler))


class _Handler(BaseHTTPRequestHandler):
    app: Application
    protocol_version = "HTTP/1.1"
    timeout = 75
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or len(self.raw_requestline) > 65536:
            self.close_connection = True
            return
        if not self.parse_request():
            return
        body = self._read_body()
        if body is None:
            return
        headers = tuple((name, value.encode("latin-1")) for name, value in self.headers.items())
        client = f"{self.client_address[0]}:{self.client_address[1]}"
        response = self.app.handle(Request(self.command, self.path, headers, body, client=client))
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._write(response)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        pass

    def _read_body(self) -> bytes | None:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline(100).split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline(100)
            while self.rfile.readline(65536).strip():
                pass
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _write(self, response: Response) -> None:
        names = {name.lower() for name, _ in response.headers}
        bodyless = self.command == "HEAD" or response.status in _NO_BODY
        chunked = not bodyless and "content-length" not in names
        head = [f"HTTP/1.1 {response.status} \r\n".encode()]
        head += [name.encode() + b": " + value + b"\r\n" for name, value in response.headers]
        if chunked:
            head.append(b"transfer-encoding: chunked\r\n")
        pending = b"".join(head) + b"\r\n"
        try:
            for chunk in response.body:
                if bodyless or not chunk:
                    continue
                pending += b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk
                self.wfile.write(pending)
                pending = b""
            if chunked:
                pending += b"0\r\n\r\n"
            self.wfile.write(pending)
        except PipeError:
            # The head is out, so only a broken connection tells the client that the body is not whole.
            self.close_connection = True
        finally:
            response.close()
