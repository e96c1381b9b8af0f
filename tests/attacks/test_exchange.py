"""Attacks by the server that answers an outbound request: by time, size, encoding, or name resolution."""

import contextlib
import gzip
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from ftl_operator.exchange import Deadline, ExchangeError, ExchangeSettings, HttpClient, Request
from ftl_operator.hosts import parse_url
from tests.attacks.table import Attack, check_refused, check_twin
from tests.support.raw_server import PAUSE, Script, deaf, read_head, run_raw_server, saying

LIMIT = 100_000
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = saying(OK + b"Content-Length: 2\r\n\r\nok")


@dataclass(frozen=True)
class Case:
    """A server, and how long the whole exchange may take; legitimate twins get time on a busy machine."""

    script: Script
    seconds: float = 60.0
    scheme: str = "http"
    host: str = "127.0.0.1"
    settings: ExchangeSettings = field(
        default_factory=lambda: ExchangeSettings(may_be_private=lambda _: True)
    )
    method: str = "GET"


def ask(case: Case) -> bytes:
    with run_raw_server(case.script) as port:
        client = HttpClient(replace(case.settings, proxies={}, silence_seconds=60))
        url = parse_url(f"{case.scheme}://{case.host}:{port}/x")
        return client.fetch(Request(case.method, url), Deadline.after(case.seconds), LIMIT).body


def ask_twice(case: Case) -> bytes:
    """The second request goes over the connection of the first."""
    first = threading.Event()

    def script(client: socket.socket) -> None:
        read_head(client)
        client.sendall(OK + b"Content-Length: 2\r\n\r\nok")
        first.set()
        case.script(client)

    with run_raw_server(script) as port:
        client = HttpClient(replace(case.settings, proxies={}, silence_seconds=60))
        request = Request("GET", parse_url(f"http://127.0.0.1:{port}/x"))
        assert client.fetch(request, Deadline.after(60), LIMIT).body == b"ok"
        return client.fetch(request, Deadline.after(case.seconds), LIMIT).body


def ask_through(case: Case) -> bytes:
    """The hostile one is a proxy."""
    with run_raw_server(case.script) as port:
        proxies = {"https": f"http://127.0.0.1:{port}", "http": f"http://127.0.0.1:{port}"}
        client = HttpClient(ExchangeSettings(proxies=proxies, silence_seconds=60))
        request = Request("GET", parse_url(f"{case.scheme}://public.test/x"))
        return client.fetch(request, Deadline.after(case.seconds), LIMIT).body


def upload(case: Case) -> bytes:
    with run_raw_server(case.script) as port:
        client = HttpClient(replace(case.settings, proxies={}, silence_seconds=60))
        request = Request("PUT", parse_url(f"http://127.0.0.1:{port}/x"), {}, b"x" * (8 << 20))
        return client.fetch(request, Deadline.after(case.seconds), LIMIT).body


def ask_rebound(answers: list[str]) -> bytes:
    """The name has another address at each look-up: the connection must go to the checked address."""
    rebound = saying(OK + b"Content-Length: 6\r\n\r\nsecret")
    with run_raw_server(PLAIN) as port, run_raw_server(rebound, address=("127.0.0.2", port)):
        look_up = Rebinding(*([answer] for answer in answers))
        client = HttpClient(ExchangeSettings(may_be_private=lambda _: True, proxies={}, look_up=look_up))
        request = Request("GET", parse_url(f"http://evil.test:{port}/"))
        return client.fetch(request, Deadline.after(60), LIMIT).body


def ask_after_a_failure(first: Script) -> bytes:
    """The rest of an abandoned answer on a connection must not answer the next request."""
    connections = itertools.count()

    def script(client: socket.socket) -> None:
        if next(connections):
            PLAIN(client)
            return
        first(client)
        # What comes now would be the answer to a second request on this connection.
        read_head(client)
        client.sendall(OK + b"Content-Length: 6\r\n\r\nforged")

    with run_raw_server(script) as port:
        client = HttpClient(ExchangeSettings(may_be_private=lambda _: True, proxies={}, silence_seconds=60))
        request = Request("GET", parse_url(f"http://127.0.0.1:{port}/x"))
        with contextlib.suppress(ExchangeError):
            client.fetch(request, Deadline.after(1.0), LIMIT)
        return client.fetch(request, Deadline.after(60), LIMIT).body


def drip(*, line: bytes = b"X-Drip: 1\r\n") -> Iterator[bytes]:
    return (bytes([byte]) for byte in itertools.cycle(line))


def dripping(*pieces: bytes, line: bytes = b"X-Drip: 1\r\n", pause: float = PAUSE) -> Script:
    return saying(*pieces, then=drip(line=line), pause=pause)


def endless(*pieces: bytes, piece: bytes) -> Script:
    return saying(*pieces, then=itertools.repeat(piece))


def tls_dripping(client: socket.socket) -> None:
    client.recv(65536)
    # The head of a handshake record of 16 KiB, whose body then drips.
    client.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    waiting = threading.Event()
    while True:
        client.sendall(b"\x00")
        waiting.wait(PAUSE)


def taking_a_byte_a_second(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    waiting = threading.Event()
    while client.recv(1):
        waiting.wait(PAUSE)


def taking_all(client: socket.socket) -> None:
    head = read_head(client)
    left = (8 << 20) - len(head.partition(b"\r\n\r\n")[2])
    while left:
        left -= len(client.recv(65536))
    client.sendall(OK + b"Content-Length: 2\r\n\r\nok")


def encoded(client: socket.socket) -> None:
    body = gzip.compress(gzip.compress(b"0" * (64 << 20)))
    head = f"Content-Encoding: gzip, gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    saying(OK + head.encode() + body)(client)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DONE = b"Content-Length: 2\r\n\r\nok"


class Rebinding:
    """A name that has a public address when it is checked, and a private one a moment later."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    def __call__(self, host: str, port: int) -> list[str]:
        return next(self._answers)


def leads_to(*answers: list[str]) -> ExchangeSettings:
    return ExchangeSettings(look_up=Rebinding(*answers))


def never(host: str, port: int) -> list[str]:
    threading.Event().wait(120)
    return []


LATE = "does not answer in time"
PRIVATE = "private address"
TOO_LARGE = "too large"
NAMED = ExchangeSettings(may_be_private=lambda _: True, look_up=lambda *_: ["127.0.0.1"])
SLOW = saying(*(bytes([byte]) for byte in OK + DONE))


def row(
    name: str,
    script: Script,
    refusal: str,
    twin: Script = PLAIN,
    attack: Callable[[Case], bytes] = ask,
) -> Attack:
    # What is not refused for the time that it takes gets enough of it.
    seconds = 1.0 if LATE in refusal else 60.0
    return Attack(name, attack, Case(script, seconds), refusal, Case(twin), lambda body: body == b"ok")


ROWS = [
    row("H3 silence after the connection", deaf, LATE),
    row("H3 head that drips", dripping(OK), LATE, SLOW),
    row("H3 status line that drips", dripping(b"HTTP/1.1 ", line=b"0"), LATE, SLOW),
    row("H3 head that drips on a kept connection", dripping(OK), LATE, SLOW, ask_twice),
    row(
        "H3 interim answers that drip",
        dripping(line=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001),
        f"{LATE}|{TOO_LARGE}",
        saying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + DONE),
    ),
    row("H3 body that drips", dripping(OK + b"Content-Length: 9999\r\n\r\n"), LATE, SLOW),
    row("H3 body without a length that drips", dripping(OK + b"\r\n"), LATE, saying(OK + b"\r\nok")),
    row(
        "H3 size of a chunk that drips",
        dripping(CHUNKED, line=b"0"),
        LATE,
        saying(CHUNKED, b"2\r\nok\r\n0\r\n\r\n"),
    ),
    row(
        "H3 trailers that drip",
        dripping(CHUNKED + b"2\r\nok\r\n0\r\n", line=b"X: y\r\n"),
        LATE,
        saying(CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n"),
    ),
    row("H3 receiver of a byte a second", taking_a_byte_a_second, LATE, taking_all, upload),
    row("H3 proxy whose answer to CONNECT drips", dripping(b"HTTP/1.1 200 OK\r\n"), LATE, PLAIN, ask_through),
    row("H5 endless header", endless(OK + b"X: ", piece=b"x" * 65536), "not HTTP|too large", SLOW),
    row("H5 endless headers", endless(OK, piece=b"X: y\r\n" * 1000), "not HTTP|too large", SLOW),
    row(
        "H5 endless interim answers",
        endless(piece=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        TOO_LARGE,
        saying(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 5 + OK + DONE),
    ),
    row("H5 endless body", endless(OK + b"\r\n", piece=b"x" * 65536), TOO_LARGE),
    row("H5 endless chunks", endless(CHUNKED, piece=b"1000\r\n" + b"x" * 4096 + b"\r\n"), TOO_LARGE),
    row(
        "H5 chunks of a byte with extensions",
        endless(CHUNKED, piece=b"1;" + b"x" * 4000 + b"\r\ny\r\n"),
        TOO_LARGE,
        saying(CHUNKED + b"1;a=b\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
    ),
    row("H5 endless trailers", endless(CHUNKED + b"0\r\n", piece=b"X: y\r\n" * 1000), TOO_LARGE),
    row(
        "H5 gzip in gzip",
        encoded,
        "encodes its answer",
        saying(OK + b"Content-Encoding: identity\r\n" + DONE),
    ),
    row("H5 deflate", saying(OK + b"Content-Encoding: deflate\r\n" + DONE), "encodes its answer"),
    row("an answer of HTTP/0.9", saying(b"ok"), "not HTTP|breaks off"),
    row("a body that breaks off", saying(OK + b"Content-Length: 3\r\n\r\nok"), "breaks off"),
    Attack(
        "H3 TLS that drips",
        ask,
        Case(tls_dripping, 1.0, "https"),
        LATE,
        Case(PLAIN),
        lambda body: body == b"ok",
    ),
    Attack(
        "H3 name that is never answered",
        ask,
        Case(PLAIN, 0.5, host="slow.test", settings=replace(NAMED, look_up=never)),
        LATE,
        Case(PLAIN, host="quick.test", settings=NAMED),
    ),
    *(
        Attack(
            f"M2 name that leads to {address}",
            ask,
            Case(PLAIN, host="evil.test", settings=leads_to([address])),
            PRIVATE,
            Case(PLAIN, host="named.test", settings=NAMED),
        )
        for address in (
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "fd00:ec2::254",
        )
    ),
    *(
        Attack(
            f"M2 address {host} without a name",
            ask,
            Case(PLAIN, host=host, settings=ExchangeSettings()),
            PRIVATE,
            Case(PLAIN),
        )
        for host in ("127.0.0.1", "[::1]", "[::ffff:7f00:1]", "0.0.0.0")
    ),
    Attack(
        "M2 one private address among public ones",
        ask,
        Case(PLAIN, host="evil.test", settings=leads_to(["93.184.216.34", "127.0.0.1"])),
        PRIVATE,
        Case(PLAIN, host="named.test", settings=NAMED),
    ),
    *(
        Attack(
            f"answer after {name}",
            ask_after_a_failure,
            saying(head),
            lambda body: body == b"ok",
            saying(OK + b"Connection: close\r\n" + DONE),
            lambda body: body == b"ok",
        )
        for name, head in (
            ("a body that is late", OK + b"Content-Length: 9\r\n\r\nok"),
            ("a chunk that is late", CHUNKED + b"5\r\nok"),
            ("trailers that are late", CHUNKED + b"2\r\nok\r\n0\r\n"),
            ("a body that is encoded", OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"),
            ("a chunk of no size", CHUNKED + b"no\r\n"),
        )
    ),
    Attack(
        "M2 name that is bound anew after it was judged",
        ask_rebound,
        ["127.0.0.1", "127.0.0.2"],
        lambda body: body == b"ok",
        ["127.0.0.1", "127.0.0.1"],
        lambda body: body == b"ok",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)
