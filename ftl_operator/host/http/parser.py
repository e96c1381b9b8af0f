"""Reads HTTP/1.1 requests (RFC 9112) from a stream of bytes. No sockets."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase

from ftl_operator.host.http.messages import Headers

MAX_LINE = 64 << 10
"""The most bytes of a request line or header; the longest are tokens of some kilobytes."""
MAX_HEADERS = 200
MAX_BODY = 64 << 20
_PIECE = 64 << 10

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/(1)\.([01])")
# Spaces around a value are stripped afterwards: a pattern with three ways to match them takes hours.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")


class BadRequestError(Exception):
    """The request is invalid or cannot be served.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request's line and headers.

    Attributes:
        length: Bytes of the body; None if it is chunked.
        close: Whether the client sends no further request on this connection.
    """

    method: str
    target: str
    version: tuple[int, int] = (1, 1)
    headers: Headers = ()
    length: int | None = 0
    close: bool = False
    expects_continue: bool = False


def read_head(stream: BufferedIOBase) -> Head | None:
    """Read up to the empty line; None at the end of the connection. Raises BadRequestError."""
    line = _line(stream)
    if line == b"":
        line = _line(stream)  # RFC 9112 §2.2: one empty line before a request is ignored
    if line is None:
        return None
    request = _REQUEST.fullmatch(line or b"")
    if request is None:
        raise BadRequestError(400, "this is no HTTP/1.1 request line")
    headers = _headers(stream)
    version = (1, int(request[4]))
    connection = _tokens(headers, "connection")
    target = _target(request[2])
    if version == (1, 1) and len(_values(headers, "host")) != 1:
        raise BadRequestError(400, "a request has exactly one host header")
    return Head(
        method=request[1].decode(),
        target=target,
        version=version,
        headers=tuple((name, value) for name, value in headers if name != "transfer-encoding"),
        length=_length(headers, version),
        close="close" in connection or (version == (1, 0) and "keep-alive" not in connection),
        expects_continue="100-continue" in _tokens(headers, "expect"),
    )


def read_body(stream: BufferedIOBase, head: Head, count: Callable[[int], None] = lambda _size: None) -> bytes:
    """Read the body.

    Args:
        stream: The connection.
        head: The head, which was read before.
        count: Called with the number of new bytes; may raise to stop.

    Raises:
        BadRequestError: The body is too long or incomplete.
    """
    body = bytearray()
    if head.length is not None:
        _exactly(stream, head.length, body, count)
        return bytes(body)
    while size := _chunk_size(stream):
        if len(body) + size > MAX_BODY:
            raise BadRequestError(413, "the request's body is too large")
        _exactly(stream, size, body, count)
        if _line(stream) != b"":
            raise BadRequestError(400, "a chunk is longer than its size says")
    _headers(stream)
    return bytes(body)


def _line(stream: BufferedIOBase) -> bytes | None:
    line = stream.readline(MAX_LINE + 2)
    if not line:
        return None
    if not line.endswith(b"\r\n"):
        if len(line) > MAX_LINE:
            raise BadRequestError(431, "a line of the head is too long")
        raise BadRequestError(400, "a line of the head does not end with CR LF")
    return line[:-2]


def _headers(stream: BufferedIOBase) -> list[tuple[str, bytes]]:
    headers = []
    while line := _line(stream):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise BadRequestError(400, "a header is malformed")
        headers.append((header[1].decode().lower(), header[2].strip(b" \t")))
        if len(headers) > MAX_HEADERS:
            raise BadRequestError(431, "there are too many headers")
    if line is None:
        raise BadRequestError(400, "the head is not whole")
    return headers


def _target(raw: bytes) -> str:
    try:
        target = raw.decode("ascii")
    except UnicodeDecodeError:
        raise BadRequestError(400, "the request target has bytes that are not ASCII") from None
    if target.startswith(("http://", "https://")):
        # Absolute form, as for a proxy (RFC 9112 §3.2.2): use the part after the authority.
        slash = target.find("/", target.index("//") + 2)
        target = target[slash:] if slash >= 0 else "/"
    if not target.startswith("/") and target != "*":
        raise BadRequestError(400, "the request target is not a path")
    return target


def _length(headers: list[tuple[str, bytes]], version: tuple[int, int]) -> int | None:
    coding = _values(headers, "transfer-encoding")
    lengths = _values(headers, "content-length")
    if coding:
        # Both headers, or another coding, could smuggle requests past a proxy (RFC 9112 §6.1).
        if lengths or version == (1, 0) or [value.lower() for value in coding] != [b"chunked"]:
            raise BadRequestError(400, "the body's length is ambiguous")
        return None
    if not lengths:
        return 0
    if len(set(lengths)) != 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise BadRequestError(400, "content-length is not one number")
    if int(lengths[0]) > MAX_BODY:
        raise BadRequestError(413, "the request's body is too large")
    return int(lengths[0])


def _chunk_size(stream: BufferedIOBase) -> int:
    size = _SIZE.fullmatch(_line(stream) or b"")
    if size is None:
        raise BadRequestError(400, "a chunk's size is malformed")
    return int(size[1], 16)


def _exactly(stream: BufferedIOBase, size: int, body: bytearray, count: Callable[[int], None]) -> None:
    while size:
        piece = stream.read1(min(size, _PIECE))
        if not piece:
            raise BadRequestError(400, "the body is not whole")
        count(len(piece))
        body += piece
        size -= len(piece)


def _values(headers: list[tuple[str, bytes]], name: str) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _tokens(headers: list[tuple[str, bytes]], name: str) -> set[str]:
    joined = b",".join(_values(headers, name)).decode("latin-1")
    return {token.strip().lower() for token in joined.split(",")}
