"""The HTTP/1.1 server: which requests it accepts and refuses, and how it transfers bodies."""

import contextlib
import io
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from conftest import Running, Start

from ftl_operator.host import Request, Response, Server, serve
from ftl_operator.host.http.parser import BadRequestError, read_body, read_head


@pytest.fixture
def app(start: Start) -> Running:
    return start()


@pytest.fixture
def server(app: Running) -> Iterator[Server]:
    with serve(app.app, port=0) as running:
        yield running


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def talk(server: Server, data: bytes) -> bytes:
    """Send bytes, half-close, and read until the server closes."""
    with connect(server) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := sock.recv(1 << 16):
            received += chunk
    return received


def serves(server: Server, request: bytes) -> bool:
    try:
        return talk(server, request).startswith(b"HTTP/1.1 200 OK")
    except OSError:
        return False


def test_requests_share_a_connection(server: Server) -> None:
    request = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    assert talk(server, request * 3) == answer * 3


def test_chunked_bodies_and_continue(server: Server) -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = talk(server, head + b"3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\ntrailer: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nabcdefg")


def test_a_stream_arrives_chunk_by_chunk(server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET /stream/3 HTTP/1.1\r\nhost: x\r\n\r\n")
        times = []
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += sock.recv(1 << 16)
            times.append(time.monotonic())
    assert b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n" in received
    assert received.endswith(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
    assert times[-1] - times[0] > 0.08


def test_http_1_0_gets_a_body_that_ends_with_the_connection(server: Server) -> None:
    answer = talk(server, b"GET /stream/1 HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"connection: close\r\n\r\ndata: 0\n\n")


def test_head_and_empty_answers_have_no_body(server: Server) -> None:
    assert talk(server, b"HEAD /stream/1 HTTP/1.1\r\nhost: x\r\n\r\n").endswith(b"\r\n\r\n")
    assert talk(server, b"GET /status/204 HTTP/1.1\r\nhost: x\r\n\r\n").endswith(b"\r\n\r\n")


def test_a_body_that_breaks_off_breaks_the_connection(server: Server) -> None:
    answer = talk(server, b"GET /late-trap HTTP/1.1\r\nhost: x\r\n\r\nGET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"5\r\nbegun\r\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert b"hello" not in answer


def test_a_client_that_leaves_is_noticed(app: Running, server: Server) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET /stream/400 HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.recv(100)
    deadline = time.monotonic() + 10
    while "stream ended after" not in app.text and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "stream ended after" in app.text


def test_hundreds_of_connections_at_once(server: Server) -> None:
    answers: list[bytes] = []
    request = b"GET /sleep/200 HTTP/1.1\r\nhost: x\r\n\r\n"
    threads = [threading.Thread(target=lambda: answers.append(talk(server, request))) for _ in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 300
    assert all(answer.endswith(b"slept") for answer in answers)


HELLO = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"


def test_connections_that_are_all_busy_give_a_new_one_503(
    app: Running, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftl_operator.host.http.server.MAX_CONNECTIONS", 2)
    with connect(server) as one, connect(server) as other:
        for sock in (one, other):
            sock.sendall(b"GET /stream/400 HTTP/1.1\r\nhost: x\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK")
        with connect(server) as third:
            assert third.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")
            assert third.recv(1000) == b""
    deadline = time.monotonic() + 30
    while not serves(server, HELLO):
        assert time.monotonic() < deadline, "a place that was left is not given again"


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /hello HTTP/1.1\r\nhost: x\r\n", HELLO + b"GET"])
def test_connections_that_wait_make_room(
    server: Server, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftl_operator.host.http.server.MAX_CONNECTIONS", 20)
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            sock = stack.enter_context(connect(server))
            sock.sendall(begun)
            if begun.startswith(HELLO):
                assert sock.recv(1000).endswith(b"hello")
        assert talk(server, HELLO).endswith(b"hello")


def test_a_slow_body_makes_room_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftl_operator.host.http.server.MAX_CONNECTIONS", 2)
    slow = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc"
    with connect(server) as one, connect(server) as other:
        one.sendall(slow)
        other.sendall(slow)
        assert talk(server, HELLO).endswith(b"hello")


@pytest.mark.parametrize(
    ("name", "begun"),
    [
        ("HEAD_SECONDS", b"GET /hello HTTP/1.1\r\n"),
        ("BODY_SECONDS", b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"),
    ],
)
def test_a_byte_now_and_then_does_not_prolong_a_request(
    server: Server, name: str, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"ftl_operator.host.http.server.{name}", 0.5)
    with connect(server) as sock:
        sock.sendall(begun)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while True:
                sock.settimeout(0.05)
                try:
                    part = sock.recv(1000)
                except TimeoutError:
                    sock.sendall(b"a")
                    continue
                if not part:
                    break
                answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_bodies_are_bounded_for_all_together(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftl_operator.host.http.server.MAX_BODIES", 200_000)
    request = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 150000\r\n\r\n"
    with connect(server) as held:
        held.sendall(request + bytes(140_000))
        deadline = time.monotonic() + 30
        while not talk(server, request + bytes(150_000)).startswith(b"HTTP/1.1 503 "):
            assert time.monotonic() < deadline
        held.sendall(bytes(10_000))
        assert held.recv(1000).startswith(b"HTTP/1.1 200 ")
    while not talk(server, request + bytes(150_000)).startswith(b"HTTP/1.1 200 "):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "request_line", [b"GET /hello", b"POST /echo", b"GET /missing", b"GET /status/204", b"GET /trap"]
)
def test_head_and_body_leave_in_one_write(
    server: Server, request_line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []

    def send(sock: socket.socket, data: bytes) -> None:
        writes.append(bytes(data))
        sock.sendall(data)

    monkeypatch.setattr("ftl_operator.host.http.server.send", send)
    head = request_line + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n"
    answer = talk(server, head + b"x" * 2000)
    assert writes == [answer]
    assert answer.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([b"3", b"3"], b"abc", 500),
        ([b"3, 4"], b"abc", 500),
        ([b"3"], b"abcd", 200),
        ([b"3"], b"ab", 200),
        ([b"3"], b"abc", 200),
    ],
)
def test_an_answer_of_another_length_than_it_says_ends_the_connection(
    headers: list[bytes], body: bytes, status: int
) -> None:
    class Handler:
        def handle(self, request: Request) -> Response:
            return Response(200, tuple(("content-length", value) for value in headers), iter((body,)))

    with serve(Handler(), port=0) as server:
        answer = talk(server, HELLO * 2)
    whole = status == 500 or len(body) == int(headers[0])
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == (2 if whole else 1)


def test_stop_closes_what_is_open(app: Running) -> None:
    server = serve(app.app, port=0)
    with connect(server) as sock:
        sock.sendall(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK")
        server.stop()
        while sock.recv(1000):
            pass
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_an_address_that_is_taken_is_an_error(app: Running, server: Server) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(app.app, port=server.port)


HOST = b"host: x\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET hello HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a b: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a : c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST, 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 9\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n3\r\nab", 400),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_requests_that_could_be_read_two_ways_are_refused(server: Server, data: bytes, status: int) -> None:
    answer = talk(server, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1
    assert b"connection: close\r\n" in answer


def test_heads_are_read_as_they_are() -> None:
    stream = io.BytesIO(
        b"\r\nGET http://h.example/a?b HTTP/1.1\r\nHost: h.example\r\nX: \t y z \t\r\n\r\nrest"
    )
    head = read_head(stream)
    assert head is not None
    assert (head.method, head.target, head.length, head.close) == ("GET", "/a?b", 0, False)
    assert head.headers == (("host", b"h.example"), ("x", b"y z"))
    assert stream.read() == b"rest"
    assert read_head(io.BytesIO(b"")) is None


def test_a_chunked_body_is_read_to_its_last_line() -> None:
    stream = io.BytesIO(
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\nnext"
    )
    head = read_head(stream)
    assert head is not None
    assert read_body(stream, head) == b"0123456789"
    assert stream.read() == b"next"
    with pytest.raises(BadRequestError, match="not whole"):
        read_head(io.BytesIO(b"GET / HTTP/1.1\r\nhost: x\r\n"))
