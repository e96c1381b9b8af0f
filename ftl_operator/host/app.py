"""Runs a Spin application: routes, service chaining, outbound requests."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftl_operator.host.component import Component, GuestError
from ftl_operator.host.engine.engine import Code, Engine, cache_directory
from ftl_operator.host.engine.interface import Err, Ok
from ftl_operator.host.engine.linker import flush
from ftl_operator.host.guest import GuestInstance
from ftl_operator.host.http.client import Client
from ftl_operator.host.http.messages import Request, Response
from ftl_operator.host.limits import Limits
from ftl_operator.host.spin.allowed_hosts import SELF, Target, parse_target
from ftl_operator.host.spin.locked_app import components_of, routes_of
from ftl_operator.host.spin.routes import Match, match
from ftl_operator.host.streams.logs import Log
from ftl_operator.host.streams.pipe import Pipe, PipeError, Reader
from ftl_operator.host.streams.workers import Workers
from ftl_operator.host.wasi.http_types import (
    Fields,
    FutureResponse,
    IncomingRequest,
    IncomingResponse,
    OutgoingRequest,
    RequestOptions,
    method_name,
    method_of,
)
from ftl_operator.oci.reference import Digest

_PATIENCE = 1.0
"""Seconds that a request waits for a slot of `Limits.concurrency`."""
_ERROR = b"internal error\n"
_DENIED = ("HTTP-request-denied", None)


def stderr_log(component: str, line: str) -> None:
    """Write a guest's line to standard error as `[component] line`."""
    sys.stderr.write(f"[{component}] {line}\n")


class HostApp:
    """A locked Spin application on this host. All methods may be called from any thread.

    Args:
        document: The locked application.
        blob: Gives the file of a layer by its digest.
        variables: Values of application variables; they take precedence over defaults.
        limits: The limits of each request.
        log: Gets each line that a component prints, and each failure, with the component's id.
        state_dir: The folder for key-value stores; None keeps them in memory.
        code: How components are compiled; `Code.METERED` fills `Response.fuel`.
        cache: The folder of compiled components; by default the user's.
        keep_code: Whether to store compiled components there.
        client: Sends requests that leave the application; by default it trusts the system's authorities.

    Raises:
        SpecError: The document needs something that this host does not have.
    """

    def __init__(  # noqa: PLR0913 - options, by keyword, each with a default
        self,
        document: Mapping[str, Any],
        blob: Callable[[Digest], Path],
        *,
        variables: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        log: Log = stderr_log,
        state_dir: Path | None = None,
        code: Code = Code.FAST,
        cache: Path | None = None,
        keep_code: bool = True,
        client: Client | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._log = log
        self._metered = code is Code.METERED
        self._workers = Workers()
        self._client = client or Client()
        self._places = threading.BoundedSemaphore(self._limits.concurrency)
        engine = Engine(code, (cache or cache_directory()) if keep_code else None)
        engine.on_tick.append(flush)

        def build(**grants: Any) -> Component:
            return Component(engine=engine, limits=self._limits, send=self._send, log=log, **grants)

        self._components, self._stores = components_of(document, blob, variables or {}, state_dir, build)
        self._routes = routes_of(document)

    def prepare(self) -> None:
        """Compile every component now instead of at its first request. Raises GuestError."""
        for component in self._components.values():
            component.prepare()

    def handle(self, request: Request) -> Response:
        """Serve one request. A guest's failure never raises: it becomes a 500 and a line in the log."""
        found = match(self._routes, request.target.partition("?")[0])
        if found is None:
            return Response.plain(404, b"")
        if len(request.body) > self._limits.request_body:
            return Response.plain(413, b"the request's body is too large\n")
        if not self._places.acquire(timeout=_PATIENCE):
            return Response.plain(503, b"too many requests at once\n")
        guest = self._guest(found.component, time.monotonic() + self._limits.time, 0)
        self._start(guest, _incoming(request, found), self._places.release)
        guest.watcher.wait(lambda: guest.outcome is not None, None)
        outcome = guest.outcome
        if outcome is None or outcome.body is None:
            guest.watcher.wait(lambda: guest.over, guest.deadline + 1)
            response = Response.plain(500, _ERROR)
            response.failure, response.fuel = guest.failed, guest.fuel
            return response
        body = _Body(guest, outcome.body, metered=self._metered)
        return Response(outcome.status, tuple(outcome.headers), body, "", guest.fuel)

    def close(self) -> None:
        """Release threads, connections and stores. Requests under way end with errors."""
        self._workers.close()
        self._client.close()
        for store in self._stores:
            store.close()

    def _guest(self, component: str, deadline: float, depth: int) -> GuestInstance:
        return GuestInstance(self._components[component], deadline, depth)

    def _start(
        self, guest: GuestInstance, request: IncomingRequest, done: Callable[[], None] = lambda: None
    ) -> None:
        def job() -> None:
            try:
                guest.component.run(guest, request)
            except GuestError as error:
                guest.failed = str(error)
                self._log(guest.component.id, guest.failed)
            except Exception as error:  # noqa: BLE001 - a defect of the host must not end the thread silently
                self._log(guest.component.id, f"host error: {type(error).__name__}: {error}")
            finally:
                # A callee may answer without reading its request; the caller must not see an error.
                request.pipe.drain()
                body = guest.outcome.body if guest.outcome else None
                if body is not None:
                    body.fail(
                        PipeError("the component ended before its body", ("HTTP-response-incomplete", None))
                    )
                done()
                guest.end()

        self._workers.run(job)

    def _send(
        self, guest: GuestInstance, request: OutgoingRequest, options: RequestOptions | None
    ) -> FutureResponse:
        """Send a guest's outgoing request: to a component, to the application itself, or to the network."""
        future = FutureResponse(guest)
        scheme, authority = _scheme(request), request.authority or SELF
        target = parse_target(scheme, authority, request.path or "/", method_name(request.method))
        own = target is not None and target.host == SELF
        allowed = guest.component.allowed
        if target is None or not (allowed.allows_self() if own else allowed.allows(target)):
            self._log(guest.component.id, f"denied a request to {scheme}://{authority}")
            future.set(Err(_DENIED))
        elif own:
            self._chain(guest, request, target, match(self._routes, target.route_path), future)
        elif target.is_internal:
            found = Match(target.component, "/...", target.route_path)
            self._chain(guest, request, target, found, future)
        else:
            self._go_out(guest, request, options, target, future)
        return future

    def _go_out(
        self,
        guest: GuestInstance,
        request: OutgoingRequest,
        options: RequestOptions | None,
        target: Target,
        future: FutureResponse,
    ) -> None:
        guest.defer(
            lambda: self._workers.run(lambda: self._client.send(guest, request, options, target, future))
        )

    def _chain(
        self,
        guest: GuestInstance,
        request: OutgoingRequest,
        target: Target,
        found: Match | None,
        future: FutureResponse,
    ) -> None:
        if found is None:
            future.set(Ok(IncomingResponse(404, Fields([], immutable=True), Pipe.of(b""))))
            return
        if found.component not in self._components:
            self._log(
                guest.component.id,
                f"called {found.component!r}, which is not a component of this application",
            )
            future.set(Err(("destination-not-found", None)))
            return
        if guest.depth >= self._limits.depth:
            future.set(Err(("loop-detected", None)))
            return
        callee = self._guest(found.component, guest.deadline, guest.depth + 1)
        callee.fuel, callee.callees = guest.fuel, guest.callees
        guest.callees.append(callee)
        callee.on_outcome = lambda: future.set(_answer(callee), callee)
        pipe = request.pipe if request.pipe is not None else Pipe.of(b"")
        host = b"localhost" if target.host == SELF else target.host.encode()
        headers = [
            (name.lower(), value)
            for name, value in request.headers.entries
            if name.lower() != "host" and not name.lower().startswith("spin-")
        ]
        headers += _spin_headers("http", host, target.path, found, "0.0.0.0:0")
        head = {
            "method": request.method,
            "path-with-query": target.path,
            "scheme": ("HTTP", None),
            "authority": host.decode(),
        }
        incoming = IncomingRequest(head, Fields(headers, immutable=True), pipe)
        guest.defer(lambda: self._start(callee, incoming))


class _Body(Iterator[bytes]):
    """A response's body; a failure has the component's own cause, for the host's log."""

    def __init__(self, guest: GuestInstance, pipe: Pipe, *, metered: bool) -> None:
        self._guest = guest
        self._metered = metered
        self._pipe = pipe
        self._reader = Reader(pipe, guest.deadline)

    def __next__(self) -> bytes:
        guest = self._guest
        try:
            return next(self._reader)
        except PipeError as error:
            guest.watcher.wait(lambda: guest.over, time.monotonic() + 1)
            raise PipeError(guest.failed or str(error), error.code) from None
        except StopIteration:
            if self._metered:
                # Fuel is known only when every guest has ended, which is soon after the body's end.
                for one in (guest, *guest.callees):
                    one.watcher.wait(lambda one=one: one.over, guest.deadline)  # type: ignore[misc]
            raise

    def is_ready(self) -> bool:
        """Whether `next` does not wait."""
        return self._pipe.readable()

    def close(self) -> None:
        self._reader.close()


def _answer(callee: GuestInstance) -> Ok | Err:
    outcome = callee.outcome
    if outcome is None or outcome.body is None:
        # As in Spin, the caller gets a 500 from the failed component.
        return Ok(IncomingResponse(500, Fields([], immutable=True), Pipe.of(b"")))
    return Ok(IncomingResponse(outcome.status, Fields(outcome.headers, immutable=True), outcome.body))


def _scheme(request: OutgoingRequest) -> str:
    if request.scheme is None:
        return "https"
    case, other = request.scheme
    return str(other) if case == "other" else case.lower()


def _incoming(request: Request, found: Match) -> IncomingRequest:
    headers = [(name.lower(), value) for name, value in request.headers if name.lower() != "connection"]
    host = request.authority.encode() or next(
        (value for name, value in headers if name == "host"), b"localhost"
    )
    head = {
        "method": method_of(request.method),
        "path-with-query": request.target,
        "scheme": (request.scheme.upper(), None),
        "authority": host.decode("latin-1"),
    }
    headers = [(name, value) for name, value in headers if not name.startswith("spin-")]
    headers += _spin_headers(request.scheme, host, request.target, found, request.client)
    return IncomingRequest(head, Fields(headers, immutable=True), Pipe.of(request.body))


def _spin_headers(
    scheme: str, host: bytes, target: str, found: Match, client: str
) -> list[tuple[str, bytes]]:
    prefix = found.route.removesuffix("/...") or "/"
    return [
        ("spin-path-info", found.rest.encode()),
        ("spin-full-url", f"{scheme}://".encode() + host + target.encode()),
        ("spin-matched-route", found.route.encode()),
        ("spin-base-path", b"/"),
        ("spin-raw-component-route", found.route.encode()),
        ("spin-component-route", prefix.encode() if found.route.endswith("/...") else found.route.encode()),
        ("spin-client-addr", client.encode()),
        *((f"spin-path-match-{name}", value.encode()) for name, value in found.named.items()),
    ]
