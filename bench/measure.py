"""Measures wasm instructions, which repeat, and times, which are only comparable within one run."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import wasmtime
from wasmtime import component as wc

from bench.apps import App
from bench.charges import HostCalls, recorded
from bench.hosts import Ask, embedded
from bench.requests import check
from ftl_operator.host import Code, Request

WARM_UP = 3
"""Requests before anything is counted: they fill the store of keys and tokens, and the caches of the host."""
TRIES = 5
"""Requests of which one is counted."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a host charges the gateway for one request: the same in every run.

    Args:
        instructions: Of wasm, counted by wasmtime.
        calls: Calls of the host's functions.
        carried: Bytes of texts and bodies that cross in them.
        pages: Pages of 4 KiB of its memory that it writes to.
        variables: Variables that are resolved: those it reads and, as Spin does when an instance sends its
            first request, all of the application's.
        variable_bytes: Their bytes.
    """

    instructions: int
    calls: int
    carried: int
    pages: int
    variables: int
    variable_bytes: int


def charge(app: App, request: Request | Callable[[Ask], Request], component: str = "gateway") -> Charge:
    """What a warm request costs a component. Raises UnusableAnswerError for another answer.

    Args:
        app: The app.
        request: The request, or how it is prepared on the running app.
        component: The component's id; it is the one behind the request's route.

    Of several requests it is the one with the fewest calls: on a busy machine a tool's answer may come in
    pieces, and to wait for each takes calls of its own.
    """
    with recorded(component) as calls, embedded(app, Code.METERED) as ask:
        if not isinstance(request, Request):
            request = request(ask)
        for _ in range(WARM_UP):
            ask(request)
        return min((_charge(app, request, ask, calls) for _ in range(TRIES)), key=lambda found: found.calls)


def _charge(app: App, request: Request, ask: Ask, calls: HostCalls) -> Charge:
    calls.clear()
    answer = ask(request)
    check(request, answer.status, answer.body)
    sends = any(interface == "wasi:http/outgoing-handler" for interface, _ in calls.names)
    application = app.document["variables"] if sends else {}
    return Charge(
        answer.fuel[-1],
        len(calls.names),
        calls.bytes,
        calls.pages,
        len(calls.variables) + len(application),
        sum(calls.variables.values())
        + sum(len(str(spec.get("default", "")).encode()) for spec in application.values()),
    )


def fuel(app: App, request: Request) -> tuple[int, int]:
    """Instructions of the front component and of all components together for one warm request."""
    with embedded(app, Code.METERED) as ask:
        for _ in range(WARM_UP):
            answer = ask(request)
            check(request, answer.status, answer.body)
        return answer.fuel[-1], sum(answer.fuel)


def size(app: App, request: Request) -> int:
    """Bytes of the answer."""
    with embedded(app) as ask:
        return len(ask(request).body)


def times(
    cases: Mapping[str, tuple[App, Sequence[Request]]],
    host: Callable[[App], AbstractContextManager[Ask]],
    rounds: int,
) -> dict[str, float]:
    """Median seconds per request of each case, all cases taking turns so that a busy machine hits them alike.

    Args:
        cases: By name: an app, and the requests that it gets in turn.
        host: Runs an app.
        rounds: Measured requests of each case.
    """
    with ExitStack() as stack:
        running: dict[str, Ask] = {name: stack.enter_context(host(app)) for name, (app, _) in cases.items()}
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for turn in range(WARM_UP + rounds):
            for name, (_, requests) in cases.items():
                request = requests[turn % len(requests)]
                start = time.perf_counter()
                answer = running[name](request)
                seconds = time.perf_counter() - start
                check(request, answer.status, answer.body)
                if turn >= WARM_UP:
                    taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def instantiation(files: Mapping[str, Path], rounds: int) -> dict[str, float]:
    """Median seconds to instantiate each component, its imports linked to traps."""
    engine = wasmtime.Engine()
    linkers = {}
    for name, path in files.items():
        component = wc.Component(engine, path.read_bytes())
        linker = wc.Linker(engine)
        linker.define_unknown_imports_as_traps(component)
        linkers[name] = (linker, component)
    taken: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, (linker, component) in linkers.items():
            with wasmtime.Store(engine) as store:
                start = time.perf_counter()
                linker.instantiate(store, component)
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}
