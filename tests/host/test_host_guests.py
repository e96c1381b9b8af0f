"""Each interface of the host, called by real guests."""

import base64
import threading
import time
from pathlib import Path

import pytest
from conftest import Start

from ftl_operator.errors import SpecError
from ftl_operator.host import Code, Limits


def test_a_request_reaches_the_guest_whole(start: Start) -> None:
    app = start()
    status, body = app.get(
        "/request?a=b%20c", "PATCH", accept="text/plain", host="tools.example:8080", connection="close"
    )
    lines = body.decode().splitlines()
    assert status == 200
    assert lines[0] == (
        'Method::Patch Some("/request?a=b%20c") Some(Scheme::Http) Some("tools.example:8080")'
    )
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    assert headers["accept"] == "text/plain"
    assert headers["host"] == "tools.example:8080"
    assert headers["spin-full-url"] == "http://tools.example:8080/request?a=b%20c"
    assert headers["spin-client-addr"] == "127.0.0.1:0"
    assert headers["spin-path-info"] == "/request"
    assert "connection" not in headers


def test_a_client_cannot_forge_the_headers_of_the_host(start: Start) -> None:
    _, body = start().get("/request", spin_client_addr="10.0.0.1:1")
    assert [line for line in body.decode().splitlines() if line.startswith("spin-client-addr")] == [
        "spin-client-addr: 127.0.0.1:0"
    ]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65537, 3_000_000])
def test_bodies_of_any_size_come_back(start: Start, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert start().get("/echo", "POST", data) == (200, data)
    assert start().get("/pipe", "POST", data) == (200, data)


@pytest.mark.parametrize("status", [200, 204, 299, 404, 503])
def test_statuses_pass(start: Start, status: int) -> None:
    assert start().get(f"/status/{status}") == (status, b"")


def test_what_a_guest_prints_is_logged_by_line_with_its_name(start: Start) -> None:
    app = start()
    app.get("/print/x")
    deadline = time.monotonic() + 5
    while len(app.lines) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(app.lines) == [("front", "err x"), ("front", "no line end"), ("front", "out x")]


def test_environment_is_the_components_own(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    assert start({"front": {"env": {"A": "1", "B": "zwei ü"}}}).get("/env") == (
        200,
        "A=1\nB=zwei ü\n".encode(),
    )


def test_clocks_and_randomness(start: Start) -> None:
    app = start()
    wall, monotonic = app.get("/clock")[1].decode().split()
    assert abs(int(wall) - time.time()) < 5
    assert monotonic == "true"
    assert len({app.get("/random")[1] for _ in range(4)}) == 4
    before = time.monotonic()
    assert app.get("/sleep/120") == (200, b"slept")
    assert 0.12 <= time.monotonic() - before < 3


def test_headers_follow_the_rules_of_wasi_http(start: Start) -> None:
    assert start().get("/fields")[1].decode().splitlines() == [
        "Ok(())",
        "Ok(())",
        "Err(HeaderError::InvalidSyntax)",
        "Err(HeaderError::InvalidSyntax)",
        "Err(HeaderError::Forbidden)",
        "[[49], [50]]",
        "false",
        "Ok(())",
        '[("x-a", [51])]',
        "Ok(())",
        "[]",
        "Err(HeaderError::InvalidSyntax)",
        "Err(HeaderError::Immutable)",
        "Err(())",
    ]


def test_sockets_are_denied_and_said_so(start: Start) -> None:
    app = start()
    assert b"access-denied" in app.get("/socket")[1]
    assert "asked for a TCP socket" in app.text


def test_files_of_the_locked_application_are_read_only(start: Start, tmp_path: Path) -> None:
    blob = tmp_path / "big"
    blob.write_bytes(b"x" * 200_000)
    digest = "sha256:" + "ab" * 32
    inline = base64.b64encode(b"small").decode()
    files = [{"path": "a/b.txt", "inline": inline}, {"path": "a/c/big", "digest": digest}]
    app = start({"front": {"files": files}}, blobs={digest: blob})
    assert app.get("/file/a/b.txt") == (200, b"small")
    assert app.get("/file/a/c/big") == (200, b"x" * 200_000)
    assert app.get("/list/a") == (200, b"b.txt 5\nc 0\n")
    assert app.get("/list/") == (200, b"a 0\n")
    assert app.get("/file/a/missing") == (500, b"No such file or directory (os error 44)")
    assert app.get("/file/../../etc/passwd")[0] == 500
    assert app.get("/write-file/a/b.txt") == (500, b"Read-only file system (os error 69)")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([{"path": "/etc/passwd", "inline": ""}], "not a relative path"),
        ([{"path": "a/../../b", "inline": ""}], "not a relative path"),
        ([{"path": "a", "inline": ""}, {"path": "a", "inline": ""}], "appears twice"),
        ([{"path": "a", "inline": ""}, {"path": "a/b", "inline": ""}], "below a file"),
        ([{"path": "a", "inline": "%"}], "not base64"),
        ([{"path": "a"}], "neither inline content nor a digest"),
    ],
)
def test_files_that_cannot_be_mounted_are_refused(
    start: Start, files: list[dict[str, str]], problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        start({"front": {"files": files}})


def test_there_are_no_files_by_default(start: Start) -> None:
    assert start().get("/file/etc/passwd")[0] == 500


def test_a_response_streams_while_the_guest_still_runs(start: Start) -> None:
    response = start().open("/stream/3")
    times = []
    chunks = []
    for chunk in response.body:
        chunks.append(chunk)
        times.append(time.monotonic())
    assert chunks == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    assert times[1] - times[0] > 0.03


def test_a_guest_learns_that_its_client_is_gone(start: Start) -> None:
    app = start()
    response = app.open("/stream/100")
    next(response.body)
    response.close()
    deadline = time.monotonic() + 5
    while "stream ended after" not in app.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "stream ended after" in app.text


def test_a_slow_reader_holds_the_guest_back(start: Start) -> None:
    response = start().open("/flood/64")
    received = 0
    for chunk in response.body:
        received += len(chunk)
        if received == len(chunk):
            time.sleep(0.3)
    assert received == 64 << 20


def test_many_requests_run_at_once(start: Start) -> None:
    app = start()
    app.get("/hello")
    results: list[tuple[int, bytes]] = []
    threads = [threading.Thread(target=lambda: results.append(app.get("/sleep/300"))) for _ in range(200)]
    before = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(200, b"slept")] * 200
    # One after another they would take a minute.
    assert time.monotonic() - before < 20


def test_no_more_requests_than_the_limit_run_at_once(start: Start) -> None:
    app = start(limits=Limits(time=20, concurrency=1))
    response = app.open("/stream/60")
    assert app.get("/hello")[0] == 503
    response.close()
    assert app.get("/hello") == (200, b"hello")


def test_instructions_are_counted_the_same_each_time(start: Start) -> None:
    app = start(code=Code.METERED)

    def fuel() -> list[int]:
        response = app.open("/hello")
        response.read()
        return response.fuel

    first = fuel()
    assert len(first) == 1
    assert 1_000 < first[0] < 10_000_000
    assert fuel() == first


def test_spins_variables_in_both_interfaces(start: Start) -> None:
    app = start(
        {
            "front": {
                "config": {"units": "{{ units }}", "url": "https://{{host}}/{{ units }}", "text": "a {b} }}"}
            }
        },
        declared={"units": {"default": "metric {{ host }}"}, "host": {"secret": True}},
        variables={"host": "api.example"},
    )
    assert app.get("/spin/variable?units")[1] == b'Ok("metric {{ host }}")'
    assert app.get("/spin/variable?url")[1] == b'Ok("https://api.example/metric {{ host }}")'
    assert app.get("/spin/variable?host")[1] == b"Err(Error::Undefined(\"no variable 'host'\"))"
    assert app.get("/spin/variable?Bad-Name")[1].startswith(b"Err(Error::InvalidName(")
    assert app.get("/spin/config?text")[1] == b'Ok(Some("a {b} }}"))'
    assert app.get("/spin/config?missing")[1] == b"Ok(None)"
    assert app.get("/spin/config-all")[1].count(b"(") == 4


def test_required_variables_and_unknown_ones_are_refused_at_start(start: Start) -> None:
    with pytest.raises(SpecError, match="required variable token"):
        start(declared={"token": {"secret": True}})
    with pytest.raises(SpecError, match="no variable named other"):
        start(variables={"other": "x"})


def test_key_value_stores_in_both_interfaces(start: Start, tmp_path: Path) -> None:
    grants = {"front": {"key_value_stores": ["default", "other one"]}}
    app = start(grants, state_dir=tmp_path)
    assert app.get("/spin/kv?default")[1] == (b'Some([0, 1, 255]) Some([]) None ["a", "b"] true false ["b"]')
    assert (
        app.get("/spin/keyvalue?default")[1] == b'[("k", Some([49])), ("z", None)] ["b", "k", "l"] None true'
    )
    assert [app.get("/spin/increment?default")[1] for _ in range(3)] == [b"1", b"2", b"3"]
    assert app.get("/spin/swap?default")[1] == b"true Some([102, 105, 114, 115, 116])"
    again = start(grants, state_dir=tmp_path)
    assert again.get("/spin/increment?default")[1] == b"4"


def test_a_store_that_was_not_granted_is_denied(start: Start) -> None:
    app = start({"front": {"key_value_stores": ["default"]}, "back": {"key_value_stores": ["private"]}})
    assert app.get("/spin/open?private")[1] == b"Err(Error::AccessDenied)"
    assert app.get("/spin/keyvalue?private") == (500, b"Error::AccessDenied")
    assert app.get("/spin/sqlite?default")[1] == b"Err(Error::AccessDenied)"


def test_increments_of_many_requests_are_all_counted(start: Start) -> None:
    app = start({"front": {"key_value_stores": ["default"]}})
    threads = [threading.Thread(target=app.get, args=("/spin/increment?default",)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.get("/spin/increment?default")[1] == b"51"
