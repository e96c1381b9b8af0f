"""wasi:http/types and wasi:http/outgoing-handler (0.2)."""

import re
import time
from collections.abc import Callable
from typing import Any

from ftl_operator.host.engine.interface import Err, Interface, Ok, Trap
from ftl_operator.host.guest import ENTRY_BYTES, GuestInstance, Outcome
from ftl_operator.host.spin.allowed_hosts import parse_path, parse_target
from ftl_operator.host.streams.pipe import Pipe, PipeError
from ftl_operator.host.wasi.http_types import (
    TOKEN,
    BodyStream,
    ErrorCode,
    Fields,
    FutureResponse,
    FutureTrailers,
    IncomingBody,
    IncomingRequest,
    IncomingResponse,
    OutgoingBody,
    OutgoingMessage,
    OutgoingRequest,
    OutgoingResponse,
    RequestOptions,
    ResponseOutparam,
)
from ftl_operator.host.wasi.io import InputStream, IoError, OutputStream, Pollable

types = Interface("wasi:http/types")
handler = Interface("wasi:http/outgoing-handler")


@types.function("http-error-code")
def _http_error_code(_guest: GuestInstance, error: IoError) -> ErrorCode | None:
    return error.error.code if isinstance(error.error, PipeError) else None


@types.function("[constructor]fields")
def _fields(_guest: GuestInstance) -> Fields:
    return Fields([])


@types.function("[static]fields.from-list")
def _fields_from_list(guest: GuestInstance, entries: list[tuple[str, bytes]]) -> Fields:
    fields = Fields([])
    for name, value in entries:
        fields.check(name, [value])
        guest.charge(len(name) + len(value) + ENTRY_BYTES)
    fields.entries = list(entries)
    return fields


@types.function("[method]fields.get")
def _fields_get(_guest: GuestInstance, fields: Fields, name: str) -> list[bytes]:
    return fields.get(name)


@types.function("[method]fields.has")
def _fields_has(_guest: GuestInstance, fields: Fields, name: str) -> bool:
    return bool(fields.get(name))


@types.function("[method]fields.set")
def _fields_set(guest: GuestInstance, fields: Fields, name: str, values: list[bytes]) -> None:
    fields.check(name, values)
    guest.charge(sum(len(name) + len(value) + ENTRY_BYTES for value in values))
    fields.remove(name)
    fields.entries.extend((name, value) for value in values)


@types.function("[method]fields.delete")
def _fields_delete(_guest: GuestInstance, fields: Fields, name: str) -> None:
    fields.check(name, [])
    fields.remove(name)


@types.function("[method]fields.append")
def _fields_append(guest: GuestInstance, fields: Fields, name: str, value: bytes) -> None:
    fields.check(name, [value])
    guest.charge(len(name) + len(value) + ENTRY_BYTES)
    fields.entries.append((name, value))


@types.function("[method]fields.entries")
def _fields_entries(_guest: GuestInstance, fields: Fields) -> list[tuple[str, bytes]]:
    return fields.entries


@types.function("[method]fields.clone")
def _fields_clone(guest: GuestInstance, fields: Fields) -> Fields:
    guest.charge(ENTRY_BYTES * len(fields.entries))
    return Fields(list(fields.entries))


def _head(name: str) -> Callable[[GuestInstance, IncomingRequest], Any]:
    return lambda _guest, request: request.head[name]


for _name in ("method", "path-with-query", "scheme", "authority"):
    types.function(f"[method]incoming-request.{_name}")(_head(_name))


@types.function(
    "[method]incoming-request.headers",
    "[method]incoming-response.headers",
    "[method]outgoing-request.headers",
    "[method]outgoing-response.headers",
)
def _headers(_guest: GuestInstance, message: Any) -> Fields:
    return Fields(message.headers.entries, immutable=True)


@types.function("[method]incoming-request.consume", "[method]incoming-response.consume")
def _consume(guest: GuestInstance, message: IncomingRequest | IncomingResponse) -> IncomingBody:
    if message.consumed:
        raise Err
    message.consumed = True
    message.pipe.reader = guest.waker
    return IncomingBody(message.pipe)


@types.function("[method]incoming-body.stream")
def _stream(_guest: GuestInstance, body: IncomingBody) -> InputStream:
    if body.taken:
        raise Err
    body.taken = True
    return InputStream(body.pipe)


@types.function("[static]incoming-body.finish")
def _finish_incoming(_guest: GuestInstance, body: IncomingBody) -> FutureTrailers:
    return FutureTrailers(body.pipe)


@types.function("[method]future-trailers.subscribe", "[method]future-incoming-response.subscribe")
def _subscribe(_guest: GuestInstance, future: FutureTrailers | FutureResponse) -> Pollable:
    return Pollable(future.ready)


@types.function("[method]future-trailers.get")
def _trailers(_guest: GuestInstance, future: FutureTrailers) -> Ok | Err | None:
    if not future.ready():
        return None
    if future.taken:
        return Err()
    future.taken = True
    if future.pipe.error is not None:
        return Ok(Err(future.pipe.error.code))
    trailers = future.pipe.trailers
    return Ok(Ok(Fields(trailers.entries, immutable=True) if trailers is not None else None))


@types.function("[constructor]outgoing-response")
def _outgoing_response(_guest: GuestInstance, headers: Fields) -> OutgoingResponse:
    return OutgoingResponse(headers)


@types.function("[method]outgoing-response.status-code")
def _status(_guest: GuestInstance, response: OutgoingResponse) -> int:
    return response.status


@types.function("[method]outgoing-response.set-status-code")
def _set_status(_guest: GuestInstance, response: OutgoingResponse, status: int) -> None:
    if not 100 <= status <= 999:
        raise Err
    response.status = status


@types.function("[method]incoming-response.status")
def _incoming_status(_guest: GuestInstance, response: IncomingResponse) -> int:
    return response.status


@types.function("[method]outgoing-response.body", "[method]outgoing-request.body")
def _body(guest: GuestInstance, message: OutgoingMessage) -> OutgoingBody:
    return message.open(guest)


@types.function("[method]outgoing-body.write")
def _write(_guest: GuestInstance, body: OutgoingBody) -> OutputStream:
    if body.stream_taken:
        raise Err
    body.stream_taken = True
    return BodyStream(body)


@types.function("[static]outgoing-body.finish")
def _finish(_guest: GuestInstance, body: OutgoingBody, trailers: Fields | None) -> None:
    body.done = True
    if body.length is not None and body.written != body.length:
        code = ("HTTP-request-body-size", body.written)
        body.pipe.fail(PipeError("the body is not as long as content-length says", code))
        raise Err(code)
    body.pipe.finish(trailers)


@types.function("[constructor]outgoing-request")
def _outgoing_request(_guest: GuestInstance, headers: Fields) -> OutgoingRequest:
    return OutgoingRequest(headers)


def _attribute(name: str, attribute: str, valid: Callable[[Any], bool]) -> None:
    @types.function(f"[method]outgoing-request.{name}")
    def _get(_guest: GuestInstance, request: OutgoingRequest) -> Any:
        return getattr(request, attribute)

    @types.function(f"[method]outgoing-request.set-{name}")
    def _set(guest: GuestInstance, request: OutgoingRequest, value: Any) -> None:
        if value is not None and not valid(value):
            raise Err
        if isinstance(value, str):
            guest.charge(len(value))
        setattr(request, attribute, value)


_attribute("method", "method", lambda method: method[0] != "other" or bool(TOKEN.fullmatch(method[1])))
_attribute("path-with-query", "path", lambda path: parse_path(path, "OPTIONS") is not None)
_attribute(
    "scheme", "scheme", lambda s: s[0] != "other" or bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", s[1]))
)
_attribute("authority", "authority", lambda authority: parse_target("http", authority) is not None)


@types.function("[constructor]request-options")
def _request_options(_guest: GuestInstance) -> RequestOptions:
    return RequestOptions()


def _option(name: str) -> None:
    @types.function(f"[method]request-options.{name}")
    def _get(_guest: GuestInstance, options: RequestOptions) -> int | None:
        return options.values.get(name)

    @types.function(f"[method]request-options.set-{name}")
    def _set(_guest: GuestInstance, options: RequestOptions, value: int | None) -> None:
        options.values[name] = value


for _name in ("connect-timeout", "first-byte-timeout", "between-bytes-timeout"):
    _option(_name)


@types.function("[static]response-outparam.set")
def _set_response(guest: GuestInstance, _param: ResponseOutparam, response: Ok | Err) -> None:
    if isinstance(response, Err):
        guest.finish(Outcome(error=response.value))
        return
    message: OutgoingResponse = response.value
    guest.finish(Outcome(message.status, message.headers.entries, message.pipe or Pipe.of(b"")))


@types.function("[method]future-incoming-response.get")
def _get_response(_guest: GuestInstance, future: FutureResponse) -> Ok | Err | None:
    return future.get()


@handler.function("handle")
def _handle(guest: GuestInstance, request: OutgoingRequest, options: RequestOptions | None) -> FutureResponse:
    if time.monotonic() >= guest.deadline:
        raise Trap("the request's time is over")
    return guest.component.send(guest, request, options)
