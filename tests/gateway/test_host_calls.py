"""The host's view of the committed gateway: the order of its answer, and what it reads of a request."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_app import application, post

from bench.charges import HostCalls, recorded
from ftl_operator.component.tool import Component
from ftl_operator.host import HostApp, Request

WRITE = ("wasi:io/streams", "[method]output-stream.write")
SET = ("wasi:http/types", "[static]response-outparam.set")
FINISH = ("wasi:http/types", "[static]outgoing-body.finish")
HANDLE = ("wasi:http/outgoing-handler", "handle")
WAIT = {
    ("wasi:io/poll", "[method]pollable.block"),
    ("wasi:io/streams", "[method]output-stream.blocking-flush"),
}


@pytest.fixture(scope="module")
def calls(conformance_tool: Path, component: Component) -> Iterator[tuple[HostApp, HostCalls]]:
    names = ["echo", "structured", "test_tool_with_progress", "test_simple_text"]
    with recorded("gateway") as found:
        app = application(conformance_tool, component, [{"name": "it", "include": names}])
        app.prepare()
    yield app, found
    app.close()


def order(calls: HostCalls) -> list[str]:
    """The calls that determine the number of packets of an answer."""
    labels = {WRITE: "write", SET: "set", FINISH: "finish", HANDLE: "handle"}
    return [labels[name] for name in calls.names if name in labels]


def ask(app: HostApp, method: str, **params: object) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return post(app, "/mcp", json.dumps(message).encode()).read()


def test_a_body_is_written_before_the_head_is_set(calls: tuple[HostApp, HostCalls]) -> None:
    app, found = calls
    for method, params, expected in [
        ("tools/list", {}, ["write", "set", "finish"]),
        ("ping", {}, ["write", "set", "finish"]),
        ("nothing", {}, ["write", "set", "finish"]),
        (
            "tools/call",
            {"name": "it__structured", "arguments": {"a": 1}},
            # The request to the tool goes the same way.
            ["write", "handle", "finish", "write", "set", "finish"],
        ),
    ]:
        found.clear()
        assert b'"jsonrpc"' in ask(app, method, **params)
        assert order(found) == expected, method
        assert not WAIT & set(found.names), "nothing waits for the client"


def test_a_long_answer_begins_with_as_much_as_fits(calls: tuple[HostApp, HostCalls]) -> None:
    app, found = calls
    found.clear()
    text = "x" * 900_000
    answer = ask(app, "tools/call", name="it__echo", arguments={"text": text})
    assert text.encode() in answer
    answered = order(found)[order(found).index("set") - 1 :]
    assert answered[:2] == ["write", "set"]
    assert answered[2] == "write"
    assert answered[-1] == "finish"


def test_the_first_event_of_a_stream_is_written_before_its_head(calls: tuple[HostApp, HostCalls]) -> None:
    app, found = calls
    found.clear()
    answer = ask(
        app, "tools/call", name="it__test_tool_with_progress", arguments={}, _meta={"progressToken": "t"}
    )
    assert b"notifications/progress" in answer
    assert order(found)[-4:-1] != ["set", "write", "write"]
    assert order(found)[order(found).index("set") - 1] == "write"


def test_a_body_that_is_not_wanted_is_not_read(calls: tuple[HostApp, HostCalls]) -> None:
    app, found = calls
    for request in [
        Request("POST", "/nothing", body=b"x" * 1_000_000),
        Request("POST", "/mcp", (("origin", b"https://evil.example"),), b"x" * 1_000_000),
    ]:
        found.clear()
        assert app.handle(request).status in (403, 404)
        assert ("wasi:http/types", "[method]incoming-request.consume") not in found.names
        assert found.bytes < 10_000
