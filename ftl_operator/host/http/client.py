"""Sends guests' requests to real servers: HTTP/1.1 over TCP or TLS, bodies streamed in both directions.

An exchange ends at the deadline of its guest's request, even if the server sends single bytes: urllib3's
timeouts are for one operation of a socket, and reading heads and the framing of chunks takes many.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import urllib3
import urllib3.connection
from urllib3 import exceptions as u3

from ftl_operator.host.engine.interface import Err, Ok
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.spin.allowed_hosts import Target
from ftl_operator.host.streams.pipe import Pipe, PipeError, Reader
from ftl_operator.host.wasi.http_types import (
    ErrorCode,
    Fields,
    FutureResponse,
    IncomingResponse,
    OutgoingRequest,
    RequestOptions,
    method_name,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK = 64 << 10
_CONNECTION_HEADERS = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection")
)


class Client:
    """A pool of connections for one application.

    Args:
        context: TLS settings; by default the system's certificate authorities.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        context = context or ssl.create_default_context()
        context.sslsocket_class = _TlsSocket
        self._pool = urllib3.PoolManager(num_pools=32, maxsize=16, ssl_context=context, retries=False)
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": urllib3.HTTPSConnectionPool}

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def send(
        self,
        guest: GuestInstance,
        request: OutgoingRequest,
        options: RequestOptions | None,
        target: Target,
        future: FutureResponse,
    ) -> None:
        """Do the exchange in this thread. Never raises: the future gets errors as wasi:http error-codes."""
        _exchange.deadline = guest.deadline
        seconds = _timeouts(guest, options)
        try:
            length = request.headers.content_length()
        except ValueError:
            future.set(Err(("HTTP-protocol-error", None)))
            return
        headers = urllib3.HTTPHeaderDict()
        for name, value in request.headers.entries:
            if name.lower() not in ("host", "content-length"):
                headers.add(name, value.decode("latin-1"))
        body = None
        if request.pipe is not None:
            body = Reader(request.pipe, guest.deadline)
            if length is not None:
                headers["content-length"] = str(length)
        # Without a body there must be no length: the server would take the missing bytes from the
        # connection's next request, which may be another component's.
        try:
            # From the parsed target instead of a URL, so that the checked host is connected to.
            pool = self._pool.connection_from_host(target.host, target.port, target.scheme)
            response = pool.urlopen(
                method_name(request.method), target.path, headers=headers, body=body, redirect=False,
                retries=False, assert_same_host=False, preload_content=False, decode_content=False,
                timeout=urllib3.Timeout(connect=seconds[0], read=seconds[1]),
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - every failure becomes an error-code
            future.set(Err(_code(error)))
            return
        pipe = Pipe()
        entries = [
            (name.lower(), value.encode("latin-1"))
            for name, value in response.headers.items()
            if name.lower() not in _CONNECTION_HEADERS
        ]
        future.set(Ok(IncomingResponse(response.status, Fields(entries, immutable=True), pipe)))
        _pump(response, pipe, guest, seconds[2])


class _Exchange(threading.local):
    """The present exchange of a thread; its connection may have served earlier exchanges."""

    deadline = 0.0
    """Its deadline on the monotonic clock."""


_exchange = _Exchange()


@contextlib.contextmanager
def _in_time(sock: socket.socket) -> Iterator[None]:
    """Limit one operation of a socket to its own timeout and to the remaining time of the exchange."""
    rest = _exchange.deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    limit = sock.gettimeout()
    sock.settimeout(rest if limit is None else min(limit, rest))
    try:
        yield
    finally:
        sock.settimeout(limit)


class _Socket(socket.socket):
    def recv_into(self, buffer: "Buffer", nbytes: int = 0, flags: int = 0) -> int:
        with _in_time(self):
            return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, buffer: "Buffer", nbytes: int | None = None, flags: int = 0) -> int:
        with _in_time(self):
            return super().recv_into(buffer, nbytes, flags)


class _Connection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        limit = made.gettimeout()
        sock = _Socket(made.family, made.type, made.proto, fileno=made.detach())
        sock.settimeout(limit)
        return sock


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = _Connection


def _timeouts(guest: GuestInstance, options: RequestOptions | None) -> tuple[float, float, float]:
    """Seconds to connect, to the first byte, and between bytes; never beyond the request's own end."""
    rest = max(0.001, guest.deadline - time.monotonic())
    values = options.values if options is not None else {}

    def one(name: str) -> float:
        nanoseconds = values.get(name)
        return rest if nanoseconds is None else min(rest, max(0.001, nanoseconds / 1e9))

    return one("connect-timeout"), one("first-byte-timeout"), one("between-bytes-timeout")


def _pump(response: urllib3.BaseHTTPResponse, pipe: Pipe, guest: GuestInstance, between: float) -> None:
    connection = getattr(response, "connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        sock.settimeout(between)
    try:
        while not pipe.reader_gone:
            chunk = response.read1(CHUNK)
            if not chunk:
                pipe.finish()
                response.release_conn()
                return
            pipe.write(chunk)
            pipe.wait_writable(guest.deadline)
    except PipeError:
        pass
    except Exception as error:  # noqa: BLE001 - every failure becomes a code
        pipe.fail(PipeError(str(error), _code(error)))
    finally:
        response.close()


def _code(error: BaseException) -> ErrorCode:
    match error:
        case PipeError():
            return error.code
        case u3.NameResolutionError():
            return "DNS-error", {"rcode": None, "info-code": None}
        case u3.NewConnectionError() | ConnectionRefusedError():
            return "connection-refused", None
        case u3.ConnectTimeoutError():
            return "connection-timeout", None
        case u3.ReadTimeoutError() | TimeoutError():
            return "connection-read-timeout", None
        case u3.SSLError() | ssl.SSLError():
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return "TLS-certificate-error", None
            return "TLS-protocol-error", None
        case u3.LocationValueError():
            return "HTTP-request-URI-invalid", None
        case u3.IncompleteRead() | u3.InvalidChunkLength():
            return "HTTP-response-incomplete", None
        case u3.ProtocolError() if "IncompleteRead" in str(error):
            return "HTTP-response-incomplete", None
        case u3.ProtocolError() | ConnectionError():
            return "connection-terminated", None
        case _:
            return "internal-error", type(error).__name__
