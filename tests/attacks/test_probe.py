"""Attacks on the probe by a running app: a tenant's `gateway.image` may be any program."""

import contextlib
import gzip
import itertools
import json
import select
import socket
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from ftl_operator.api.conditions import ConditionState
from ftl_operator.controller.probe import MAX_BYTES, Probe
from ftl_operator.controller.telemetry.health import HealthServer
from ftl_operator.errors import Reason
from tests.attacks.table import Attack, check_refused, check_twin
from tests.support.raw_server import PAUSE, Script, run_raw_server, saying

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
SHORT = 2.0
LONG = 60.0


@dataclass(frozen=True)
class App:
    """How an app answers `/readyz`, then `/mcp`, and how long asking it may take."""

    ready: Script
    listed: Script | None = None
    seconds: float = LONG


def whole(body: object, status: str = "200 OK") -> Script:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n"
    return saying(head.encode() + raw)


def not_ready(body: object) -> App:
    return App(whole(body, "503 Service Unavailable"))


def listing(result: object) -> App:
    return App(whole({"status": "ready"}), whole({"jsonrpc": "2.0", "id": 1, "result": result}))


def ask(app: App) -> ConditionState:
    answers = iter([app.ready])
    later = app.listed or app.ready

    def script(client: socket.socket) -> None:
        next(answers, later)(client)
        # What is left of the request is read, or closing would reset the connection.
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass

    with run_raw_server(script) as port:
        found = Probe(app.seconds).ask(
            f"http://127.0.0.1:{port}",
            "token",
            expected=["weather__forecast"],
            is_public=app.listed is not None,
        )
    assert len(found.message) < 5000, "the message is bounded"
    assert found.message.isprintable()
    return found


def is_not_verified(found: ConditionState) -> bool:
    return (found.status, found.reason) == ("Unknown", Reason.NOT_VERIFIED)


def is_silent(found: ConditionState) -> bool:
    return (found.status, found.reason) == ("False", Reason.TOOLS_SILENT)


def is_verified(found: ConditionState) -> bool:
    return found.status == "True"


READY = App(whole({"status": "ready"}))
TOOLS = [{"name": "weather__forecast"}]
LISTED = listing({"tools": TOOLS})
DEGRADED = not_ready({"status": "degraded", "silent": [{"component": "weather", "error": "it traps"}]})
BOMB = gzip.compress(gzip.compress(b"\0" * (64 << 20)))
ENCODED = b"Content-Length: %d\r\n\r\n" % len(BOMB) + BOMB
DEEP = b"[" * 200_000
LONG_NAME = "x" * 1_000_000

HALF = b"GET /healthz HTTP/1.1\r\n"


def still_held(connections: int) -> int:
    """How many connections that send half a request stay open at the operator's own port, which answers."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("ftl_operator.controller.telemetry.health.SILENCE_SECONDS", 10 * LONG)
        health = HealthServer(("127.0.0.1", 0), CollectorRegistry(), live=str, ready=str)
        stack.callback(health.stop)
        held = []
        for _ in range(connections):
            held.append(stack.enter_context(socket.create_connection(("127.0.0.1", health.port), LONG)))
            held[-1].sendall(HALF)
        with socket.create_connection(("127.0.0.1", health.port), LONG) as one:
            one.sendall(HALF + b"Connection: close\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
        return len(held) - len(select.select(held, [], [], 0)[0])


ROWS = [
    Attack("H5 a crowd at the operator's own port", still_held, 300, (64).__ge__, 40, (40).__eq__),
    Attack(
        "H5 a bomb in two layers of gzip",
        ask,
        App(
            saying(OK + b"Content-Encoding: gzip, gzip\r\n" + ENCODED),
            None,
        ),
        is_not_verified,
        READY,
        is_verified,
    ),
    Attack(
        "H5 a list in gzip",
        ask,
        App(whole({}), saying(OK + b"Content-Encoding: gzip\r\n" + ENCODED)),
        is_not_verified,
        LISTED,
        is_verified,
    ),
    Attack(
        "H5 an endless body",
        ask,
        App(whole({}), saying(OK + b"\r\n", then=itertools.repeat(b"x" * 65536))),
        is_not_verified,
        App(whole({}), whole({"result": {"tools": [*TOOLS, {"name": "x" * (MAX_BYTES // 2)}]}})),
        is_verified,
    ),
    Attack(
        "H5 a body that drips",
        ask,
        App(whole({}), saying(OK + b"\r\n", then=itertools.repeat(b" "), pause=PAUSE), SHORT),
        is_not_verified,
        App(whole({}), saying(OK + b"\r\n", then=[json.dumps({"result": {"tools": TOOLS}}).encode()])),
        is_verified,
    ),
    Attack(
        "H5 a head that drips",
        ask,
        App(saying(b"HTTP/1.1 200 OK\r\n", then=itertools.repeat(b"X: 1\r\n"), pause=PAUSE), None, SHORT),
        is_not_verified,
        App(saying(b"HTTP/1.1 200 OK\r\n", then=[b"Content-Length: 0\r\n", b"\r\n"], pause=PAUSE)),
        is_verified,
    ),
    Attack(
        "H5 an endless head",
        ask,
        App(saying(b"HTTP/1.1 200 OK\r\n", then=itertools.repeat(b"X: " + b"1" * 8000 + b"\r\n"))),
        is_not_verified,
        App(saying(b"HTTP/1.1 200 OK\r\nX: " + b"1" * 8000 + b"\r\nContent-Length: 0\r\n\r\n")),
        is_verified,
    ),
    Attack("low silent is a number", ask, not_ready({"silent": 5}), is_not_verified, DEGRADED, is_silent),
    Attack("low silent is a text", ask, not_ready({"silent": "all"}), is_not_verified, DEGRADED, is_silent),
    Attack(
        "low silent has numbers", ask, not_ready({"silent": [5, None]}), is_not_verified, DEGRADED, is_silent
    ),
    Attack(
        "low names that are objects",
        ask,
        not_ready({"silent": [{"component": {"a": [1]}, "error": ["b"]}]}),
        is_silent,
        DEGRADED,
        is_silent,
    ),
    Attack(
        "low a name of 1 MB, and control characters",
        ask,
        not_ready({"silent": [{"component": LONG_NAME, "error": "\x1b[2J\r\n\u202e"}] * 2}),
        is_silent,
        DEGRADED,
        is_silent,
    ),
    Attack(
        "low an error of 1 MB", ask, not_ready({"error": LONG_NAME}), is_not_verified, DEGRADED, is_silent
    ),
    Attack(
        "low an error that is a list", ask, not_ready({"error": [[]]}), is_not_verified, DEGRADED, is_silent
    ),
    Attack("low deep JSON, not ready", ask, not_ready(DEEP), is_not_verified, DEGRADED, is_silent),
    Attack("low no UTF-8, not ready", ask, not_ready(b"\xff\xfe\x00"), is_not_verified, DEGRADED, is_silent),
    Attack("low deep JSON, listed", ask, App(whole({}), whole(DEEP)), is_silent, LISTED, is_verified),
    Attack(
        "low a number too long to read",
        ask,
        App(whole({}), whole(b"1" * 100_000)),
        is_silent,
        LISTED,
        is_verified,
    ),
    Attack(
        "H5 a page of small objects, thirty times as large in memory",
        ask,
        listing({"tools": TOOLS + [{"": 0}] * 200_000}),
        is_silent,
        listing({"tools": TOOLS + [{"": 0}] * 20_000}),
        is_verified,
    ),
    Attack("low tools is a number", ask, listing({"tools": 5}), is_silent, LISTED, is_verified),
    Attack("low tools is an object", ask, listing({"tools": {"name": "a"}}), is_silent, LISTED, is_verified),
    Attack(
        "low tools' names are objects",
        ask,
        listing({"tools": [{"name": {}}, {"name": ["weather__forecast"]}, 7]}),
        is_silent,
        LISTED,
        is_verified,
    ),
    Attack(
        "low pages without end",
        ask,
        listing({"tools": [], "nextCursor": "again"}),
        is_silent,
        listing({"tools": TOOLS, "nextCursor": "again"}),
        is_verified,
    ),
    Attack(
        "low the cursor is an object",
        ask,
        listing({"tools": [], "nextCursor": {}}),
        is_silent,
        LISTED,
        is_verified,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)
