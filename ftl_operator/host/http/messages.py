"""The host's HTTP requests and responses."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the application.

    Attributes:
        target: The path with query, as on the request line.
        authority: The client's name for the server; by default from the `host` header.
        client: The client's address as `host:port`, for the header `spin-client-addr`.
    """

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    authority: str = ""
    client: str = "127.0.0.1:0"
    scheme: str = "http"


@dataclass(slots=True)
class Response:
    """A response whose body arrives in chunks while the component still runs.

    The caller reads `body` to its end or calls `close()`, which makes the component's next write fail.
    """

    status: int
    headers: Headers
    body: Iterator[bytes]
    failure: str = ""
    """Why the component gave no response, for the host's own log; never sent to a client."""
    fuel: list[int] = field(default_factory=list)
    """The instructions of each component that took part; set when the body has ended, if metered."""

    @classmethod
    def plain(cls, status: int, text: bytes) -> "Response":
        """Make a response of the host itself."""
        kind = (("content-type", b"text/plain; charset=utf-8"),) if text else ()
        return cls(status, (*kind, ("content-length", str(len(text)).encode())), iter((text,)))

    def is_ready(self) -> bool:
        """Whether the next chunk or the end is available without waiting."""
        ready = getattr(self.body, "is_ready", None)
        return ready is not None and bool(ready())

    def read(self) -> bytes:
        """Read the whole body."""
        return b"".join(self.body)

    def close(self) -> None:
        """Stop reading. The component's next write fails."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()
