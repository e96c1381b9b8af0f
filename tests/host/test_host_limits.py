"""A component that misbehaves is ended and named in the log, and the client learns nothing from it."""

import time

import pytest
from conftest import Start

from ftl_operator.host import Limits
from ftl_operator.host.streams.pipe import PipeError


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/loop", "passed its time limit of 1 s"),
        ("/wait", "passed its time limit of 1 s"),
        ("/alloc", "memory allocation of 1048576 bytes failed"),
        ("/trap", "trapped: wasm `unreachable` instruction executed"),
        ("/exit/3", "ended with exit status 1"),
        ("/error-code", "answered with the error configuration-error"),
        ("/silent", "ended without a response"),
        ("/resources", "was stopped: more than 25000 open handles"),
    ],
)
def test_it_becomes_a_500(start: Start, path: str, cause: str) -> None:
    app = start(limits=Limits(time=1 if "time limit" in cause else 20, memory=64 << 20))
    app.app.prepare()
    before = time.monotonic()
    assert app.get(path) == (500, b"internal error\n")
    assert time.monotonic() - before < 15
    assert cause in app.text
    assert "[front]" in app.text
    assert app.get("/hello") == (200, b"hello")


def test_a_body_that_breaks_off_is_not_taken_as_whole(start: Start) -> None:
    app = start()
    response = app.open("/late-trap")
    assert response.status == 200
    with pytest.raises(PipeError, match="trapped"):
        response.read()
    with pytest.raises(PipeError, match="not as long as content-length says"):
        app.open("/short").read()
    assert "HttpRequestBodySize(Some(3))" in app.text


def test_a_request_body_over_the_limit_is_refused(start: Start) -> None:
    app = start(limits=Limits(request_body=1000))
    assert app.get("/echo", "POST", bytes(1000))[0] == 200
    assert app.get("/echo", "POST", bytes(1001))[0] == 413


def test_a_component_that_calls_itself_ends(start: Start) -> None:
    app = start({"front": {"allowed_outbound_hosts": ["http://front.spin.internal"]}}, limits=Limits(depth=4))
    url = "http://front.spin.internal/fetch?" * 6 + "http://front.spin.internal/hello"
    assert b"LoopDetected" in app.get(f"/fetch?{url}")[1]


def test_a_route_that_nobody_has_is_not_found(start: Start) -> None:
    def edit(document: dict) -> dict:
        document["triggers"][0]["trigger_config"]["route"] = "/only"
        return document

    app = start(edit=edit)
    assert app.get("/elsewhere") == (404, b"")
    assert app.get("/only")[0] == 404
