"""Serves an application over HTTP/1.1: one thread per connection, streamed answers.

The parser is strict wherever two readings of RFC 9112 could disagree about the end of a request. A connection
keeps its slot only while a request is answered: if all slots are taken, a connection that waits, sends
slowly, or does not read the answer is closed for a new one. Everything that a client does has a deadline.
"""

import contextlib
import io
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from http.client import responses
from typing import Protocol, Self

from ftl_operator.host.streams.pipe import PipeError

from .messages import Request, Response
from .parser import BadRequestError, Head, read_body, read_head

IDLE_SECONDS = 75.0
"""How long a connection may wait for its next request."""
HEAD_SECONDS = 10.0
"""How long the head of a request may take, from its first byte."""
BODY_SECONDS = 60.0
"""How long the body of a request may take."""
SEND_SECONDS = 60.0
"""How long a client may take to accept the next part of an answer."""
MAX_CONNECTIONS = 1000
"""The most open connections, with a thread each."""
MAX_BODIES = 256 << 20
"""The most bytes of request bodies in memory, for all connections together."""
COALESCE = 64 << 10
"""The ready parts of an answer are sent in one write up to this size, so that head and body share a
segment."""
LINGER_SECONDS = 2.0
STOP_SECONDS = 2.0
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_NO_BODY = frozenset((204, 304))
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Handler(Protocol):
    """An application, or anything else that answers requests."""

    def handle(self, request: Request) -> Response:
        """Serve one request."""
        ...


class _Phase(IntEnum):
    """The phase of a connection. Those with lower phases are closed first for a new one."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    SEND = 3
    """Waits for the client to make room for a part of the answer."""
    ANSWER = 4


def url_of(bound: socket.socket) -> str:
    """The URL of what is served at a bound socket, without a slash at its end."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server:
    """A server that runs until `stop()`.

    Args:
        app: What is served.
        bound: A socket from `bind`; the server owns it.

    Raises:
        OSError: Another process has taken the address since it was bound.
    """

    def __init__(self, app: Handler, bound: socket.socket) -> None:
        self._app = app
        self._socket = bound
        self.port = int(bound.getsockname()[1])
        self.url = url_of(bound)
        self._places = _Places()
        self._bodies = _Bodies()
        self._stopped = False
        bound.listen(512)
        self._thread = threading.Thread(target=self._accept, name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections, and close the open ones. It waits for a moment only."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._places.close()
        self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                sock, address = self._socket.accept()
            except OSError:
                # No file descriptors are left, the client has disconnected, or the server stops.
                time.sleep(0.01)
                continue
            place = self._places.take(sock, str(address[0]))
            if place is None:
                with contextlib.suppress(OSError):
                    sock.send(_BUSY)
                sock.close()
                continue
            host, port = address[:2]
            client = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            connection = _Connection(self._app, self._bodies, place, client)
            threading.Thread(
                target=connection.run, args=(self._places,), name="connection", daemon=True
            ).start()


def bind(address: str, port: int) -> socket.socket:
    """Bind an address without listening yet; port 0 takes a free one. Raises OSError if it is in use."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    return bound


def serve(app: Handler, address: str = "127.0.0.1", port: int = 3000) -> Server:
    """Serve an application; port 0 takes a free one. Raises OSError if the address is in use."""
    bound = bind(address, port)
    try:
        return Server(app, bound)
    except BaseException:
        bound.close()
        raise


class _Place:
    """A connection's slot among `MAX_CONNECTIONS`."""

    __slots__ = ("_lock", "is_open", "peer", "phase", "since", "sock")

    def __init__(self, sock: socket.socket, peer: str, lock: threading.Lock) -> None:
        self.sock = sock
        self.peer = peer
        self.phase = _Phase.IDLE
        self.since = time.monotonic()
        self.is_open = True
        self._lock = lock

    def enter(self, phase: _Phase) -> None:
        """Set the connection's phase. Raises ConnectionError if it has lost its slot."""
        with self._lock:
            if not self.is_open:
                raise ConnectionError("the place is another connection's now")
            self.phase, self.since = phase, time.monotonic()


class _Places:
    """The slots of all connections. A peer with many connections loses one before a peer with few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[_Place] = set()
        self._closed = False

    def take(self, sock: socket.socket, peer: str) -> _Place | None:
        """Take a slot for a new connection; None if every slot has a request that is being answered."""
        with self._lock:
            if self._closed or (len(self._taken) >= MAX_CONNECTIONS and not self._make_room()):
                return None
            place = _Place(sock, peer, self._lock)
            self._taken.add(place)
            return place

    def leave(self, place: _Place) -> None:
        """Give a slot back."""
        with self._lock:
            place.is_open = False
            self._taken.discard(place)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            self._closed = True
            for place in list(self._taken):
                self._end(place)

    def _make_room(self) -> bool:
        waiting = [place for place in self._taken if place.phase is not _Phase.ANSWER]
        if not waiting:
            return False
        counts = Counter(place.peer for place in self._taken)
        self._end(min(waiting, key=lambda place: (-counts[place.peer], place.phase, place.since)))
        return True

    def _end(self, place: _Place) -> None:
        place.is_open = False
        self._taken.discard(place)
        # This wakes the connection's thread, which closes the socket.
        with contextlib.suppress(OSError):
            place.sock.shutdown(socket.SHUT_RDWR)


class _Bodies:
    """Counts the bytes of request bodies that are in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._size = 0

    @contextlib.contextmanager
    def share(self) -> Iterator["_Share"]:
        """The share of one request; it is released at the end."""
        share = _Share(self)
        try:
            yield share
        finally:
            self.add(-share.size)

    def add(self, size: int) -> None:
        """Add to the count. Raises BadRequestError if the total is too large."""
        with self._lock:
            if size > 0 and self._size + size > MAX_BODIES:
                raise BadRequestError(503, "too many request bodies at once; try again")
            self._size += size


class _Share:
    def __init__(self, bodies: _Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def take(self, size: int) -> None:
        """Count received bytes. Raises BadRequestError."""
        self._bodies.add(size)
        self.size += size


class _Source(io.RawIOBase):
    """Reads from a socket up to a deadline, which single bytes do not extend."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.deadline = 0.0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Receive. Raises TimeoutError at the deadline, OSError."""
        rest = self.deadline - time.monotonic()
        if rest <= 0:
            raise TimeoutError
        self._sock.settimeout(rest)
        return self._sock.recv_into(buffer)


class _Connection:
    """Serves one connection in its own thread."""

    def __init__(self, app: Handler, bodies: _Bodies, place: _Place, client: str) -> None:
        self._app = app
        self._bodies = bodies
        self._place = place
        self._client = client
        self._sock = place.sock
        self._source = _Source(self._sock)
        self._input = io.BufferedReader(self._source, 1 << 16)

    def run(self, places: _Places) -> None:
        """Answer requests until either side closes the connection."""
        try:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._one():
                    pass
        finally:
            places.leave(self._place)
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
            self._sock.close()

    def _one(self) -> bool:
        """Serve one request; returns whether the connection can take another."""
        self._enter(_Phase.IDLE, IDLE_SECONDS)
        if not self._input.peek(1):
            return False
        with self._bodies.share() as share:
            try:
                self._enter(_Phase.HEAD, HEAD_SECONDS)
                head = read_head(self._input)
                if head is None:
                    return False
                self._enter(_Phase.BODY, BODY_SECONDS)
                if head.expects_continue:
                    send(self._sock, b"HTTP/1.1 100 Continue\r\n\r\n")
                body = read_body(self._input, head, share.take)
            except BadRequestError as error:
                self._refuse(error.status, str(error))
                return False
            except TimeoutError:
                self._refuse(408, "the request did not come in time")
                return False
            self._place.enter(_Phase.ANSWER)
            response = self._app.handle(
                Request(head.method, head.target, head.headers, body, client=self._client)
            )
            return self._answer(head, response)

    def _enter(self, phase: _Phase, seconds: float) -> None:
        self._place.enter(phase)
        self._source.deadline = time.monotonic() + seconds

    def _refuse(self, status: int, text: str) -> None:
        self._answer(Head("GET", "/", close=True), Response.plain(status, f"{text}\n".encode()))
        # Read on for a moment: closing with unread bytes would reset the connection and lose the answer.
        self._sock.shutdown(socket.SHUT_WR)
        self._source.deadline = time.monotonic() + LINGER_SECONDS
        while self._source.read(1 << 16):
            pass

    def _answer(self, head: Head, response: Response) -> bool:
        keep = not head.close
        lengths = [value for name, value in response.headers if name.lower() == "content-length"]
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(value) for value in lengths):
            # An ambiguous length: two readers of the answer could see two different bodies.
            response.close()
            response, lengths = Response.plain(500, b"internal error\n"), [b"15"]
        bare = head.method == "HEAD" or response.status in _NO_BODY
        chunked = not bare and not lengths and head.version >= (1, 1)
        if not bare and not chunked and not lengths:
            keep = False
        announced, came = (int(lengths[0]) if lengths and not bare else None), 0
        out = bytearray(f"HTTP/1.1 {response.status} {responses.get(response.status, '')}\r\n".encode())
        for name, value in response.headers:
            out += name.encode("latin-1") + b": " + value + b"\r\n"
        if chunked:
            out += b"transfer-encoding: chunked\r\n"
        out += b"\r\n" if keep else b"connection: close\r\n\r\n"
        try:
            for chunk in response.body:
                if chunk and not bare:
                    came += len(chunk)
                    out += b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk
                if len(out) < COALESCE and response.is_ready():
                    continue
                self._send(out)
                out.clear()
            if chunked:
                out += b"0\r\n\r\n"
            # With missing or extra bytes, the client would misread the next answer.
            keep = keep and announced in (None, came)
        except PipeError:
            # The head may be sent already, so only closing the connection tells the client that the body is
            # incomplete.
            keep = False
        finally:
            response.close()
        if out:
            self._send(out)
        return keep

    def _send(self, data: bytes | bytearray) -> None:
        """Send a part of an answer. Who does not read it makes room for others. Raises OSError."""
        self._place.enter(_Phase.SEND)
        send(self._sock, data)
        self._place.enter(_Phase.ANSWER)


def send(sock: socket.socket, data: bytes | bytearray) -> None:
    """Write all bytes. Raises OSError, TimeoutError."""
    sock.settimeout(SEND_SECONDS)
    sock.sendall(data)
