"""The resources of wasi:http/types (0.2): headers, bodies, requests, responses."""

import re
from collections.abc import Callable
from typing import Any

from ftl_operator.host.engine.interface import Err, Ok, Resource
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.streams.pipe import Pipe, PipeError
from ftl_operator.host.wasi.io import IoError, OutputStream

ErrorCode = tuple[str, Any]

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
FORBIDDEN = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "te")
)
"""Headers of the connection. Only the host sets them, not a guest (RFC 9110 §7.6.1)."""
METHODS = ("get", "head", "post", "put", "delete", "connect", "options", "trace", "patch")


class Fields(Resource):
    """wasi:http/types.fields: headers or trailers."""

    wit = "fields"

    def __init__(self, entries: list[tuple[str, bytes]], *, immutable: bool = False) -> None:
        self.entries = entries
        self.immutable = immutable

    def check(self, name: str, values: list[bytes]) -> None:
        """Raise Err with a header-error if the change is not allowed."""
        if self.immutable:
            raise Err(("immutable", None))
        if not TOKEN.fullmatch(name) or not all(_VALUE.fullmatch(value) for value in values):
            raise Err(("invalid-syntax", None))
        if name.lower() in FORBIDDEN:
            raise Err(("forbidden", None))

    def content_length(self) -> int | None:
        """The value of content-length, if present. Raises ValueError unless it is one number."""
        values = self.get("content-length")
        if not values:
            return None
        if len(values) > 1 or not re.fullmatch(rb"[0-9]{1,18}", values[0]):
            raise ValueError("content-length is not one number")
        return int(values[0])

    def get(self, name: str) -> list[bytes]:
        """All values of a name."""
        name = name.lower()
        return [value for key, value in self.entries if key.lower() == name]

    def remove(self, name: str) -> None:
        """Drop all values of a name."""
        name = name.lower()
        self.entries = [(key, value) for key, value in self.entries if key.lower() != name]


class IncomingBody(Resource):
    """A body that the guest reads."""

    wit = "incoming-body"

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.taken = False

    def drop(self) -> None:
        """Stop reading."""
        self.pipe.leave()


class IncomingRequest(Resource):
    """The request that the guest handles."""

    wit = "incoming-request"

    def __init__(self, head: dict[str, Any], headers: Fields, pipe: Pipe) -> None:
        self.head = head
        """method, path-with-query, scheme, authority, with WIT's types."""
        self.headers = headers
        self.pipe = pipe
        self.consumed = False


class IncomingResponse(Resource):
    """The response to a request of the guest."""

    wit = "incoming-response"

    def __init__(self, status: int, headers: Fields, pipe: Pipe) -> None:
        self.status = status
        self.headers = headers
        self.pipe = pipe
        self.consumed = False

    def drop(self) -> None:
        """Stop reading a body that the guest never consumed."""
        if not self.consumed:
            self.pipe.leave()


class OutgoingBody(Resource):
    """A body that the guest writes."""

    wit = "outgoing-body"

    def __init__(self, pipe: Pipe, length: int | None) -> None:
        self.pipe = pipe
        self.length = length
        self.written = 0
        self.stream_taken = False
        self.done = False

    def drop(self) -> None:
        """Fail the body: it was dropped without `finish`, so it is incomplete, and its reader must know."""
        if not self.done:
            self.pipe.fail(PipeError("the body was dropped before its end", ("HTTP-protocol-error", None)))


class BodyStream(OutputStream):
    """The output stream of a body, which counts against content-length."""

    def __init__(self, body: OutgoingBody) -> None:
        super().__init__(body.pipe)
        self.body = body

    def write(self, data: bytes) -> None:
        """Write. Raises Err with a stream-error if the body becomes longer than content-length."""
        body = self.body
        body.written += len(data)
        if body.length is not None and body.written > body.length:
            error = PipeError(
                "the body is longer than content-length", ("HTTP-request-body-size", body.written)
            )
            raise Err(("last-operation-failed", IoError(error)))
        super().write(data)


class OutgoingMessage(Resource):
    """The common part of outgoing requests and responses."""

    def __init__(self, headers: Fields) -> None:
        headers.immutable = True
        self.headers = headers
        self.pipe: Pipe | None = None

    def open(self, guest: GuestInstance) -> OutgoingBody:
        """The body, once. Raises Err."""
        if self.pipe is not None:
            raise Err
        try:
            length = self.headers.content_length()
        except ValueError:
            # An invalid content-length: two readers of the message could see two different bodies.
            raise Err from None
        self.pipe = Pipe()
        self.pipe.writer, self.pipe.defer = guest.waker, guest.defer
        return OutgoingBody(self.pipe, length)


class OutgoingResponse(OutgoingMessage):
    """The response that the guest gives."""

    wit = "outgoing-response"

    def __init__(self, headers: Fields) -> None:
        super().__init__(headers)
        self.status = 200


class OutgoingRequest(OutgoingMessage):
    """A request that the guest sends."""

    wit = "outgoing-request"

    def __init__(self, headers: Fields) -> None:
        super().__init__(headers)
        self.method: tuple[str, Any] = ("get", None)
        self.path: str | None = None
        self.scheme: tuple[str, Any] | None = None
        self.authority: str | None = None


class RequestOptions(Resource):
    """Timeouts of an outgoing request, in nanoseconds."""

    wit = "request-options"

    def __init__(self) -> None:
        self.values: dict[str, int | None] = {}


class ResponseOutparam(Resource):
    """The place for the guest's response."""

    wit = "response-outparam"


class FutureResponse(Resource):
    """wasi:http/types.future-incoming-response."""

    wit = "future-incoming-response"

    def __init__(self, guest: GuestInstance) -> None:
        self._guest = guest
        self._value: Ok | Err | None = None
        self._taken = False

    def set(self, value: Ok | Err, callee: GuestInstance | None = None) -> None:
        """Set the result, once: Ok(IncomingResponse) or Err(error-code)."""
        self._value = value
        if callee is None:
            self._guest.waker.wake()
        else:
            callee.defer(self._guest.waker.wake)

    def ready(self) -> bool:
        """Whether it is set."""
        return self._value is not None

    def get(self) -> Ok | Err | None:
        """None until it is set; then Ok of the result, and an error the second time."""
        if self._value is None:
            return None
        if self._taken:
            return Err()
        self._taken = True
        return Ok(self._value)


class FutureTrailers(Resource):
    """wasi:http/types.future-trailers."""

    wit = "future-trailers"

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.taken = False

    def ready(self) -> bool:
        """Whether the body has ended."""
        return self.pipe.finished or self.pipe.error is not None


Send = Callable[[GuestInstance, OutgoingRequest, RequestOptions | None], FutureResponse]
"""Sends an outgoing request."""


def method_of(name: str) -> tuple[str, Any]:
    """Convert a method's name to its WIT value."""
    lower = name.lower()
    return (lower, None) if lower in METHODS and name.isupper() else ("other", name)


def method_name(method: tuple[str, Any]) -> str:
    """Convert a WIT method to its name in HTTP."""
    return str(method[1]) if method[0] == "other" else method[0].upper()
