"""HTTP exchanges with untrusted hosts: registries, token issuers, running apps.

All requests to them go through this module. One deadline covers the whole exchange: name resolution,
connection, TLS, sending, head and body of the answer, even if the other side sends single bytes. The sizes of
head and body are limited, and content codings are refused. A name is resolved once; the checked address is
the one that is connected to, so that a second resolution cannot give another address.

It uses urllib3's connections but not its pools, whose timeouts start again with every byte that arrives.
Messages never contain a URL or a response's text, because a URL may be a signed one.
"""

import contextlib
import http.client
import io
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import requests.utils
import urllib3
import urllib3.connection
import urllib3.exceptions
import urllib3.util

from ftl_operator.hosts import HttpUrl, is_public

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_HEAD_BYTES = 64 * 1024
"""The longest head of an answer, including interim answers (1xx) and a proxy's answer to CONNECT."""
CHUNK = 64 * 1024
"""The most bytes of one read."""

_MAX_ADDRESSES = 8
_MAX_IDLE = 64
_MAX_LOOK_UPS = 256
_IDENTITY = ("", "identity")


class Failure(Enum):
    """Why there is no complete answer. The text continues a sentence about the host."""

    UNRESOLVED = "its name cannot be resolved"
    PRIVATE = "its name leads to a private address"
    UNREACHABLE = "it cannot be connected to"
    UNTRUSTED = "its certificate is not trusted"
    NO_TLS = "it does not speak TLS as expected; is it plain HTTP?"
    PROXY = "the proxy does not let the request through"
    TOO_LATE = "it does not answer in time"
    BROKEN = "its answer breaks off"
    MALFORMED = "its answer is not HTTP"
    ENCODED = "it encodes its answer although the request did not allow it"
    TOO_LARGE = "its answer is too large"


class ExchangeError(Exception):
    """An exchange failed.

    Args:
        failure: Why.
        detail: More about it, such as an address; never a URL.
    """

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure.value} ({detail})" if detail else failure.value)
        self.failure = failure
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which something must be done. All parts of an operation share one."""

    at: float
    """In seconds of `time.monotonic`."""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline in `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """The remaining seconds, more than 0. Raises ExchangeError (TOO_LATE) when none are left."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise ExchangeError(Failure.TOO_LATE)
        return left


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver. Raises OSError."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _trust_nobody(url: HttpUrl) -> bool:
    del url
    return False


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """How hosts are reached. Times are seconds."""

    may_be_private: Callable[[HttpUrl], bool] = _trust_nobody
    """Whether a server's name may lead to a private, loopback or metadata address."""
    ca_file: Path | None = None
    """A PEM file of certificate authorities to trust besides the system's."""
    proxies: Mapping[str, str] | None = None
    """Proxies by scheme; None takes them from the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."""
    connect_seconds: float = 5.0
    """How long one address may take to accept a connection, before the next one is tried."""
    silence_seconds: float = 15.0
    """The longest pause of the other side while it reads a request or sends an answer."""
    slowest_bytes: int = 0
    """The least average rate in bytes a second, once twice the longest silence has passed. A slower exchange
    fails before its deadline. 0 means no limit."""
    idle_connections: int = 4
    """How many connections to a server are kept for the next requests; 0 keeps none."""
    look_up: Callable[[str, int], list[str]] = look_up
    """Addresses of a host; raises OSError."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Args:
        method: In capitals.
        url: The parsed, checked target.
        headers: Without `Host`, `User-Agent` and `Accept-Encoding`, which this module sets.
        body: Bytes, or a file that is read from its present position to its end.
    """

    method: str
    url: HttpUrl
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | BinaryIO | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of any status. `headers` ignores the case of names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Response:
    """An answer of any status whose head has arrived; its body is still to be read.

    `raw` is urllib3's response, to pass on. Read the body only through this class.
    """

    def __init__(self, raw: urllib3.HTTPResponse, pace: "_Pace") -> None:
        self.raw = raw
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self._pace = pace
        self._ended = False

    @property
    def is_whole(self) -> bool:
        """Whether the whole answer was read; only then can the connection be used again."""
        return self._ended or self.raw.length_remaining == 0

    def chunks(self, limit: int) -> Iterator[bytes]:
        """The body as it arrives, at most `limit` bytes.

        Raises:
            ExchangeError: The body is longer (TOO_LARGE), encoded, broken off, or late.
        """
        if self.headers.get("Content-Encoding", "").strip().lower() not in _IDENTITY:
            raise ExchangeError(Failure.ENCODED)
        # Limits the framing of chunks too: a chunk of one byte takes seven bytes, and time to parse.
        self._pace.allow(limit + limit // 8 + MAX_HEAD_BYTES)
        size = 0
        with _failures():
            # read1 returns what has arrived; read would wait for a full chunk, however slow the other side
            # is.
            while chunk := self.raw.read1(CHUNK, decode_content=False):
                size += len(chunk)
                if size > limit:
                    raise ExchangeError(Failure.TOO_LARGE, f"more than {limit} bytes")
                self._pace.deadline.remaining()
                yield chunk
        self._ended = True

    def read(self, limit: int) -> bytes:
        """The whole body. Raises as `chunks` does."""
        return b"".join(self.chunks(limit))


class HttpClient:
    """Sends requests. Safe to use from several threads; every call blocks.

    Raises:
        ValueError: The CA file cannot be used; the message names it.
    """

    def __init__(self, settings: ExchangeSettings) -> None:
        self._settings = settings
        self._context = _tls_context(settings.ca_file)
        self._idle: list[tuple[object, _HttpConnection]] = []
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def exchange(self, request: Request, deadline: Deadline) -> Iterator[Response]:
        """Send a request and yield the answer, whatever its status. Redirects are not followed.

        Raises:
            ExchangeError: There is no answer. Reading its body in the `with` may raise it too.
        """
        pace = _Pace(deadline, self._settings.silence_seconds, self._settings.slowest_bytes)
        proxy = self._proxy(request.url)
        key = (request.url.origin, proxy)
        connection, response = self._send(request, pace, proxy, key)
        try:
            yield response
        finally:
            whole = response.is_whole
            response.raw.close()
            if whole and connection.sock is not None:
                self._keep(key, connection)
            else:
                connection.close()

    def fetch(self, request: Request, deadline: Deadline, limit: int) -> Answer:
        """Send a request and read the whole answer of at most `limit` bytes. Raises ExchangeError."""
        with self.exchange(request, deadline) as response:
            return Answer(response.status, response.headers, response.read(limit))

    def close(self) -> None:
        """Close the idle connections."""
        with self._guard:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _send(
        self, request: Request, pace: "_Pace", proxy: str | None, key: object
    ) -> tuple["_HttpConnection", Response]:
        while connection := self._take(key):
            try:
                return connection, self._ask(connection, request, pace, proxy)
            except ExchangeError as error:
                connection.close()
                # The server may have just closed an idle connection, so try a new one. Only safe methods are
                # sent twice.
                if error.failure is not Failure.BROKEN or request.method not in ("GET", "HEAD"):
                    raise
        connection = self._connect(request.url, pace, proxy)
        try:
            return connection, self._ask(connection, request, pace, proxy)
        except BaseException:
            connection.close()
            raise

    def _ask(
        self, connection: "_HttpConnection", request: Request, pace: "_Pace", proxy: str | None
    ) -> Response:
        url = request.url
        headers = {
            "Host": url.netloc,
            "User-Agent": "ftl-operator",
            "Accept-Encoding": "identity",
            **request.headers,
        }
        target = url.target
        if proxy and url.scheme == "http":
            target, headers = str(url), {**headers, **_proxy_authorization(proxy)}
        if isinstance(request.body, io.IOBase):
            position, size = request.body.tell(), os.fstat(request.body.fileno()).st_size
            headers["Content-Length"] = str(size - position)
        connection.go_at(pace)
        pace.allow(MAX_HEAD_BYTES)
        with _failures():
            # A server may answer and close before it has read the whole request; its answer tells the cause.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    request.method,
                    target,
                    body=request.body,
                    headers=headers,
                    preload_content=False,
                    decode_content=False,
                )
            return Response(connection.getresponse(), pace)

    def _connect(self, url: HttpUrl, pace: "_Pace", proxy: str | None) -> "_HttpConnection":
        if proxy:
            connection = _through(proxy, url, self._context)
            addresses = self._addresses(connection.host, connection.port, pace.deadline)
        else:
            addresses = self._addresses(url.host, url.port, pace.deadline)
            # With a proxy there is no address to check: the proxy resolves the name.
            if not self._settings.may_be_private(url):
                for address in addresses:
                    if not is_public(ipaddress.ip_address(address)):
                        raise ExchangeError(Failure.PRIVATE, address)
            if url.scheme == "https":
                connection = _HttpsConnection(url.host, url.port, ssl_context=self._context)
            else:
                connection = _HttpConnection(url.host, url.port)
        connection.addresses = addresses[:_MAX_ADDRESSES]
        connection.connect_seconds = self._settings.connect_seconds
        connection.go_at(pace)
        pace.allow(MAX_HEAD_BYTES)
        try:
            with _failures(connecting=True):
                connection.connect()
        except ExchangeError as error:
            connection.close()
            if proxy and error.failure not in (Failure.UNTRUSTED, Failure.TOO_LATE):
                raise ExchangeError(Failure.PROXY) from None
            raise
        return connection

    def _addresses(self, host: str, port: int, deadline: Deadline) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        texts = _look_up_within(deadline, self._settings.look_up, host, port)
        try:
            found = [str(ipaddress.ip_address(text.partition("%")[0])) for text in texts]
        except ValueError:
            found = []
        if not found:
            raise ExchangeError(Failure.UNRESOLVED)
        return found

    def _proxy(self, url: HttpUrl) -> str | None:
        proxies = self._settings.proxies
        if proxies is None:
            proxies = requests.utils.get_environ_proxies(str(url.with_target("/")))
        return requests.utils.select_proxy(str(url.with_target("/")), proxies)

    def _take(self, key: object) -> "_HttpConnection | None":
        with self._guard:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == key:
                    connection = self._idle.pop(index)[1]
                    if connection.is_connected:
                        return connection
                    connection.close()
        return None

    def _keep(self, key: object, connection: "_HttpConnection") -> None:
        with self._guard:
            same = [index for index, (other, _) in enumerate(self._idle) if other == key]
            surplus = (
                [self._idle.pop(same[0])] if len(same) >= max(1, self._settings.idle_connections) else []
            )
            if self._settings.idle_connections:
                self._idle.append((key, connection))
            else:
                surplus.append((key, connection))
            surplus += [self._idle.pop(0)] if len(self._idle) > _MAX_IDLE else []
        for _, old in surplus:
            old.close()


class _Pace:
    """The remaining time and bytes of one exchange, shared by its sockets."""

    def __init__(self, deadline: Deadline, silence_seconds: float, slowest_bytes: int) -> None:
        self.deadline = deadline
        self._silence = silence_seconds
        self._slowest = slowest_bytes
        self._grace_ends = time.monotonic() + 2 * silence_seconds
        self._left = MAX_HEAD_BYTES
        self._moved = 0

    def allow(self, size: int) -> None:
        self._left = size

    def until_silent(self) -> float:
        """The timeout of the next operation. Raises ExchangeError if the exchange is late or too slow."""
        if self._moved < self._slowest * (time.monotonic() - self._grace_ends):
            raise ExchangeError(Failure.TOO_LATE, f"slower than {self._slowest} bytes a second")
        return min(self._silence, self.deadline.remaining())

    def sent(self, size: int) -> int:
        self._moved += size
        return size

    def count(self, size: int) -> int:
        self._moved += size
        self._left -= size
        if self._left < 0:
            raise ExchangeError(Failure.TOO_LARGE)
        return size


class _Socket(socket.socket):
    """A socket whose every operation ends at its exchange's deadline."""

    pace: _Pace

    def recv_into(self, buffer: "Buffer", nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(self.pace.until_silent())
        return self.pace.count(super().recv_into(buffer, nbytes, flags))

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        self.settimeout(self.pace.until_silent())
        data = super().recv(bufsize, flags)
        self.pace.count(len(data))
        return data

    def send(self, data: "Buffer", flags: int = 0) -> int:
        self.settimeout(self.pace.until_silent())
        return self.pace.sent(super().send(data, flags))

    def sendall(self, data: "Buffer", flags: int = 0) -> None:
        # In parts, because the timeout of socket.sendall is for all of the data.
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view, flags) :]


class _TlsSocket(ssl.SSLSocket):
    """The same for TLS. The timeout of one OpenSSL operation covers all records that it needs."""

    pace: _Pace

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001 - the overridden method's signature
        self.settimeout(self.pace.deadline.remaining())
        super().do_handshake(block)

    def recv_into(self, buffer: "Buffer", nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.pace.until_silent())
        return self.pace.count(super().recv_into(buffer, nbytes, flags))

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        self.settimeout(self.pace.until_silent())
        data = super().recv(buflen, flags)
        self.pace.count(len(data))
        return data

    def send(self, data: "Buffer", flags: int = 0) -> int:
        # sendall also calls this, until everything is sent.
        self.settimeout(self.pace.until_silent())
        return self.pace.sent(super().send(data, flags))


class _TlsContext(ssl.SSLContext):
    sslsocket_class = _TlsSocket

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:  # noqa: ANN401 - passed on
        """Wrap a socket, give it the pace of the inner socket, then do the handshake."""
        wrapped = super().wrap_socket(sock, *args, **{**kwargs, "do_handshake_on_connect": False})
        wrapped.pace = sock.pace  # type: ignore[attr-defined]
        wrapped.do_handshake()
        return wrapped


class _HttpConnection(urllib3.connection.HTTPConnection):
    """A connection to addresses that were resolved and checked before."""

    addresses: list[str]
    connect_seconds: float
    pace: _Pace

    def go_at(self, pace: _Pace) -> None:
        """Use the pace of a new exchange."""
        self.pace = pace
        if self.sock is not None:
            # With a proxy that uses TLS, a transport wraps the socket.
            inner: Any = getattr(self.sock, "socket", self.sock)
            inner.pace = pace

    def _new_conn(self) -> socket.socket:
        failure: OSError = ConnectionError()
        for address in self.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = _Socket(family, socket.SOCK_STREAM)
            sock.pace = self.pace
            try:
                sock.settimeout(min(self.connect_seconds, self.pace.deadline.remaining()))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect((address, self.port))
            except OSError as error:
                failure = error
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure


class _HttpsConnection(urllib3.connection.HTTPSConnection, _HttpConnection):
    """The same with TLS; the certificate must have the host's name, not the address."""


def _through(proxy: str, url: HttpUrl, context: ssl.SSLContext) -> _HttpConnection:
    try:
        parsed = urllib3.util.parse_url(proxy)
    except urllib3.exceptions.HTTPError:
        raise ExchangeError(Failure.PROXY, "its URL is not usable") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ExchangeError(Failure.PROXY, "it is neither an http nor an https proxy")
    host, port = parsed.host.strip("[]"), parsed.port or (443 if parsed.scheme == "https" else 80)
    config = urllib3.connection.ProxyConfig(
        ssl_context=context, use_forwarding_for_https=False, assert_hostname=None, assert_fingerprint=None
    )
    if "https" not in (url.scheme, parsed.scheme):
        return _HttpConnection(host, port, proxy=parsed, proxy_config=config)
    connection = _HttpsConnection(host, port, proxy=parsed, proxy_config=config, ssl_context=context)
    if url.scheme == "https":
        connection.set_tunnel(url.host, url.port, _proxy_authorization(proxy), parsed.scheme)
    return connection


def _proxy_authorization(proxy: str) -> dict[str, str]:
    username, password = requests.utils.get_auth_from_url(proxy)
    if not username:
        return {}
    return urllib3.make_headers(proxy_basic_auth=f"{username}:{password}")


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = _TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # an SSLError is one too
            why = error.strerror or "it holds no certificate"
            raise ValueError(f"the CA file {ca_file} cannot be used: {why}") from error
    return context


_look_ups = threading.BoundedSemaphore(_MAX_LOOK_UPS)


def _look_up_within(
    deadline: Deadline, resolve: Callable[[str, int], list[str]], host: str, port: int
) -> list[str]:
    """Resolve a name before a deadline, in a thread, because the system's resolver has no timeout."""
    found: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put(resolve(host, port))
        except (OSError, UnicodeError):
            found.put([])
        finally:
            _look_ups.release()

    if not _look_ups.acquire(timeout=deadline.remaining()):
        raise ExchangeError(Failure.TOO_LATE)
    threading.Thread(target=run, name=f"look-up-{host[:40]}", daemon=True).start()
    try:
        return found.get(timeout=deadline.remaining())
    except queue.Empty:
        raise ExchangeError(Failure.TOO_LATE) from None


@contextlib.contextmanager
def _failures(*, connecting: bool = False) -> Iterator[None]:
    """Convert a connection's errors to ExchangeError. They are not chained, because their texts have URLs."""
    try:
        yield
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise _failure(error, connecting) from None


def _failure(error: BaseException, connecting: bool) -> ExchangeError:  # noqa: FBT001 - private
    # urllib3 wraps causes, among them the ExchangeErrors that our sockets raise.
    seen: BaseException | None = error
    for _ in range(10):
        match seen:
            case ExchangeError():
                return seen
            case ssl.SSLCertVerificationError():
                return ExchangeError(Failure.UNTRUSTED, seen.verify_message)
            case TimeoutError() | urllib3.exceptions.TimeoutError():
                return ExchangeError(Failure.TOO_LATE)
            case ssl.SSLError():
                return ExchangeError(Failure.NO_TLS if connecting else Failure.BROKEN)
            case http.client.RemoteDisconnected() | http.client.IncompleteRead():
                return ExchangeError(Failure.BROKEN)
            case http.client.HTTPException():
                return ExchangeError(Failure.MALFORMED)
            case None:
                break
        seen = seen.__cause__ or seen.__context__
    return ExchangeError(Failure.UNREACHABLE if connecting else Failure.BROKEN)
