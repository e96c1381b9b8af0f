"""wasi:io/error, wasi:io/poll, wasi:io/streams (0.2)."""

import time
from collections.abc import Callable

from ftl_operator.host.engine.interface import Err, Interface, Resource, Trap
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.streams.pipe import Pipe, PipeError

MAX_CHUNK = 64 << 10
"""The most bytes that the host allocates for one call; guests may ask for any length."""

CLOSED = ("closed", None)


class IoError(Resource):
    """wasi:io/error.error: the error of a failed stream operation."""

    wit = "error"

    def __init__(self, error: Exception) -> None:
        self.error = error


class Pollable(Resource):
    """wasi:io/poll.pollable: something that becomes ready through another thread or at a time."""

    wit = "pollable"

    def __init__(self, ready: Callable[[], bool], at: float | None = None) -> None:
        self.ready = ready
        self.at = at
        """For a timer, the time on the monotonic clock at which it becomes ready."""


class InputStream(Resource):
    """Bytes to the guest."""

    wit = "input-stream"

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    def read(self, length: int) -> bytes:
        """Take the available bytes. Raises Err with a stream-error."""
        try:
            data = self.pipe.read(min(length, MAX_CHUNK)) if length else b""
        except PipeError as error:
            raise Err(("last-operation-failed", IoError(error))) from None
        if data is None:
            raise Err(CLOSED)
        return data

    def ready(self) -> bool:
        """Whether a read returns bytes or the end."""
        return self.pipe.readable()


class OutputStream(Resource):
    """Bytes from the guest into a pipe."""

    wit = "output-stream"

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    def room(self) -> int:
        """Bytes that the guest may write now. Raises Err with a stream-error."""
        if self.pipe.error is not None:
            raise Err(("last-operation-failed", IoError(self.pipe.error)))
        if self.pipe.reader_gone or self.pipe.finished:
            raise Err(CLOSED)
        return self.pipe.room

    def write(self, data: bytes) -> None:
        """Write. Raises Err with a stream-error."""
        try:
            self.pipe.write(data)
        except PipeError as error:
            raise Err(("last-operation-failed", IoError(error))) from None

    def ready(self) -> bool:
        """Whether a write succeeds or fails at once."""
        return self.pipe.writable() or self.pipe.finished


class Sink(OutputStream):
    """Bytes from the guest into a function that takes them immediately."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.take = take

    def room(self) -> int:
        """Always one chunk."""
        return MAX_CHUNK

    def write(self, data: bytes) -> None:
        """Pass the bytes to the function."""
        self.take(data)

    def ready(self) -> bool:
        """Always."""
        return True


_error = Interface("wasi:io/error")
_poll = Interface("wasi:io/poll")
_streams = Interface("wasi:io/streams")


@_error.function("[method]error.to-debug-string")
def _to_debug_string(_guest: GuestInstance, error: IoError) -> str:
    return str(error.error)


@_poll.function("[method]pollable.ready")
def _ready(_guest: GuestInstance, pollable: Pollable) -> bool:
    return pollable.ready()


@_poll.function("[method]pollable.block")
def _block(guest: GuestInstance, pollable: Pollable) -> None:
    _poll_all(guest, [pollable])


@_poll.function("poll")
def _poll_all(guest: GuestInstance, pollables: list[Pollable]) -> list[int]:
    if not pollables:
        raise Trap("poll was called with an empty list")
    timers = [pollable.at for pollable in pollables if pollable.at is not None]
    guest.wait(lambda: any(one.ready() for one in pollables), min(timers, default=None))
    # A timer that ended the wait may still be slightly in the future, so it counts as ready.
    ready = [index for index, one in enumerate(pollables) if one.ready()]
    return ready or [
        index for index, one in enumerate(pollables) if one.at is not None and one.at == min(timers)
    ]


@_streams.function("[method]input-stream.read")
def _read(_guest: GuestInstance, stream: InputStream, length: int) -> bytes:
    return stream.read(length)


@_streams.function("[method]input-stream.blocking-read")
def _blocking_read(guest: GuestInstance, stream: InputStream, length: int) -> bytes:
    if length:
        guest.wait(stream.ready)
    return stream.read(length)


@_streams.function("[method]input-stream.skip")
def _skip(_guest: GuestInstance, stream: InputStream, length: int) -> int:
    return len(stream.read(length))


@_streams.function("[method]input-stream.blocking-skip")
def _blocking_skip(guest: GuestInstance, stream: InputStream, length: int) -> int:
    return len(_blocking_read(guest, stream, length))


@_streams.function("[method]input-stream.subscribe", "[method]output-stream.subscribe")
def _subscribe(_guest: GuestInstance, stream: InputStream | OutputStream) -> Pollable:
    return Pollable(stream.ready)


@_streams.function("[method]output-stream.check-write")
def _check_write(_guest: GuestInstance, stream: OutputStream) -> int:
    return stream.room()


@_streams.function("[method]output-stream.write")
def _write(_guest: GuestInstance, stream: OutputStream, data: bytes) -> None:
    if len(data) > stream.room():
        raise Trap("wrote more than check-write allowed")
    stream.write(data)


def _write_all(guest: GuestInstance, stream: OutputStream, data: bytes) -> None:
    while data:
        guest.wait(stream.ready)
        room = stream.room()
        stream.write(data[:room])
        data = data[room:]


@_streams.function("[method]output-stream.blocking-write-and-flush")
def _blocking_write_and_flush(guest: GuestInstance, stream: OutputStream, data: bytes) -> None:
    stream.room()
    _write_all(guest, stream, data)


@_streams.function("[method]output-stream.flush", "[method]output-stream.blocking-flush")
def _flush(_guest: GuestInstance, stream: OutputStream) -> None:
    stream.room()


@_streams.function("[method]output-stream.write-zeroes")
def _write_zeroes(guest: GuestInstance, stream: OutputStream, length: int) -> None:
    if length > stream.room():
        raise Trap("wrote more than check-write allowed")
    _write_all(guest, stream, bytes(length))


@_streams.function("[method]output-stream.blocking-write-zeroes-and-flush")
def _blocking_write_zeroes(guest: GuestInstance, stream: OutputStream, length: int) -> None:
    _write_all(guest, stream, bytes(min(length, MAX_CHUNK)))


@_streams.function("[method]output-stream.splice")
def _splice(_guest: GuestInstance, stream: OutputStream, source: InputStream, length: int) -> int:
    data = source.read(min(length, stream.room()))
    stream.write(data)
    return len(data)


@_streams.function("[method]output-stream.blocking-splice")
def _blocking_splice(guest: GuestInstance, stream: OutputStream, source: InputStream, length: int) -> int:
    guest.wait(stream.ready)
    guest.wait(source.ready)
    return _splice(guest, stream, source, length)


def timer(at: float) -> Pollable:
    """A pollable that becomes ready at a time on the monotonic clock."""
    return Pollable(lambda: time.monotonic() >= at, at)


def always() -> Pollable:
    """A pollable that is ready."""
    return Pollable(lambda: True)
