"""A bounded stream of bytes between two threads: request and response bodies."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ftl_operator.host.streams.waker import Waker

CAPACITY = 256 << 10


class PipeError(Exception):
    """The other end is closed.

    Attributes:
        code: A wasi:http error-code, as a (case, payload) pair.
    """

    def __init__(self, message: str, code: tuple[str, Any] = ("internal-error", None)) -> None:
        super().__init__(message)
        self.code = code


class Pipe:
    """A bounded pipe with backpressure: the writer waits if the reader is slow.

    The ends wake each other: a waiting thread sets `reader` or `writer`. A guest that writes sets `defer`,
    which wakes the reader when the guest has done its next step.
    """

    __slots__ = (
        "_chunks",
        "_lock",
        "_size",
        "capacity",
        "defer",
        "draining",
        "error",
        "finished",
        "reader",
        "reader_gone",
        "trailers",
        "writer",
    )  # fmt: skip

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._chunks: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._size = 0
        self.capacity = capacity
        self.draining = False
        self.finished = False
        """Whether the writer has finished; the buffered bytes can still be read."""
        self.error: PipeError | None = None
        self.reader_gone = False
        self.trailers: Any = None
        self.defer: Callable[[Callable[[], None]], None] | None = None
        self.reader: Waker | None = None
        self.writer: Waker | None = None

    @classmethod
    def of(cls, data: bytes) -> "Pipe":
        """Make a finished pipe with all of `data`."""
        pipe = cls()
        if data:
            pipe._chunks.append(data)
            pipe._size = len(data)
        pipe.finished = True
        return pipe

    @property
    def room(self) -> int:
        """How many bytes may be written now."""
        return max(0, self.capacity - self._size)

    def writable(self) -> bool:
        """Whether a write would succeed or fail without waiting."""
        return self._size < self.capacity or self.reader_gone or self.error is not None

    def readable(self) -> bool:
        """Whether a read would return bytes or the end without waiting."""
        return self._size > 0 or self.finished or self.error is not None

    def write(self, data: bytes) -> None:
        """Add bytes, even beyond the capacity. Raises PipeError if the reader has closed its end."""
        if self.error is not None:
            raise self.error
        if self.reader_gone:
            raise PipeError("the reader is gone", ("connection-terminated", None))
        if data and not self.draining:
            with self._lock:
                self._chunks.append(data)
                self._size += len(data)
            self._tell(full=self._size > self.capacity // 2)

    def read(self, limit: int) -> bytes | None:
        """Take up to `limit` bytes; empty if none are there yet, None at the end. Raises PipeError."""
        with self._lock:
            if self._chunks:
                first = self._chunks.popleft()
                if len(first) > limit:
                    self._chunks.appendleft(first[limit:])
                    first = first[:limit]
                self._size -= len(first)
            elif self.error is not None:
                raise self.error
            elif self.finished:
                return None
            else:
                return b""
        _wake(self.writer)
        return first

    def wait_writable(self, until: float) -> None:
        """Wait for room, in the writing thread. Raises PipeError at `until` on the monotonic clock."""
        if not self.writable():
            waker = self.writer = Waker()
            if not waker.wait(self.writable, until):
                raise PipeError("the reader is too slow", ("connection-write-timeout", None))

    def finish(self, trailers: Any = None) -> None:
        """End the pipe normally, as the writer."""
        self.trailers = trailers
        self.finished = True
        self._tell(full=False)

    def fail(self, error: PipeError) -> None:
        """End the pipe with an error, as the writer; ignored after `finish`."""
        if not self.finished and self.error is None:
            self.error = error
        _wake(self.reader)
        _wake(self.writer)

    def _tell(self, *, full: bool) -> None:
        reader = self.reader
        if reader is None:
            return
        if self.defer is None or full:
            reader.wake()
        else:
            self.defer(reader.wake)

    def drain(self) -> None:
        """Drop the remaining bytes, as the reader; the writer can go on without an error."""
        self.draining = True
        with self._lock:
            self._chunks.clear()
            self._size = 0
        _wake(self.writer)

    def leave(self) -> None:
        """Close the pipe, as the reader; writes fail from now on."""
        self.reader_gone = True
        with self._lock:
            self._chunks.clear()
            self._size = 0
        _wake(self.writer)


class Reader(Iterator[bytes]):
    """Reads a pipe to its end, outside of any guest. If it is closed early, the writer's next write fails.

    Args:
        pipe: The pipe.
        until: The deadline on the monotonic clock.

    Raises:
        PipeError: From `next`, if the writer failed or the deadline has passed.
    """

    def __init__(self, pipe: Pipe, until: float) -> None:
        self._pipe = pipe
        self._until = until
        self._waker = pipe.reader = Waker()

    def __next__(self) -> bytes:
        while True:
            if not self._waker.wait(self._pipe.readable, self._until):
                raise PipeError("the time for the body is over", ("connection-read-timeout", None))
            chunk = self._pipe.read(1 << 20)
            if chunk is None:
                raise StopIteration
            if chunk:
                return chunk

    def close(self) -> None:
        """Stop reading; after the end this does nothing."""
        self._pipe.leave()

    def __del__(self) -> None:
        self.close()


def _wake(waker: Waker | None) -> None:
    if waker is not None:
        waker.wake()
