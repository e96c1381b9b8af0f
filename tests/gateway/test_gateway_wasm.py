"""The committed gateway.wasm on the embedded host: what only a real host shows. Rules are tested natively."""

import json
import threading
import time
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from gateway_app import application, post

from ftl_operator.cli.environment import GATEWAY_WASM
from ftl_operator.component.binary import Kind, read_binary
from ftl_operator.component.tool import Component
from ftl_operator.host import HostApp, Request, serve
from ftl_operator.host.engine.engine import digest_of
from ftl_operator.host.sandbox.parent import check_policy

MAX_SIZE = 2_500_000
ALLOWED_IMPORTS = ("wasi:", "fermyon:spin/variables@2.0.0", "fermyon:spin/key-value@2.0.0")


def call(
    app: HostApp, name: str, arguments: Any = None, path: str = "/mcp", **headers: str
) -> dict[str, Any]:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": name, "arguments": {} if arguments is None else arguments},
    }
    response = post(app, path, json.dumps(message).encode(), **headers)
    assert response.status == 200
    answer: dict[str, Any] = json.loads(response.read())
    return answer


def names(app: HostApp, path: str = "/mcp", **headers: str) -> list[str]:
    response = post(app, path, b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', **headers)
    return [tool["name"] for tool in json.loads(response.read())["result"]["tools"]]


def test_the_file_is_what_hosts_take() -> None:
    content = GATEWAY_WASM.read_bytes()
    binary = read_binary(content)
    assert len(content) <= MAX_SIZE
    assert binary.kind is Kind.WASI_0_2
    assert all(name.startswith(ALLOWED_IMPORTS) for name in binary.imports), binary.imports
    http = [name for name in binary.imports if name.startswith("wasi:http")]
    # Spin 3.6 has 0.2.4 at least; a lower version is served by every later host.
    assert all(name.rpartition("@")[2] in ("0.2.0", "0.2.4") for name in http), http
    # No request may reach the file system or a socket.
    assert not [name for name in binary.imports if name.startswith("wasi:sockets")]


FAULTS = {
    "crash": "ended without an answer (HTTP 500)",
    "hang": "did not answer within 1000 ms",
    "huge": "is longer than 1048576 bytes",
    "empty": "its answer is empty",
    "not_json": "its answer is not JSON",
    "wrong_json": "is JSON, and no tool result",
    "not_utf8": "did not answer in UTF-8",
    "status_500": "answered HTTP 500",
    "unknown_content": "holds content that MCP does not know",
    "structured_wrong": "does not match its output schema",
    "structured_missing": "its output schema asks for structuredContent",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_tool_gives_an_error_result_and_the_next_call_works(app: HostApp, fault: str) -> None:
    begun = time.monotonic()
    result = call(app, f"faults__{fault}")["result"]
    assert time.monotonic() - begun < 15
    text = result["content"][0]["text"]
    assert result["isError"] is True
    assert text.startswith(f"Tool `faults__{fault}` failed: ")
    assert FAULTS[fault] in text
    assert call(app, "more__structured")["result"]["structuredContent"] == {"sum": 3}


def test_the_audit_line_is_one_json_object(app: HostApp, lines: list[tuple[str, str]]) -> None:
    lines.clear()
    call(app, "more__echo", {"secret": "value"}, x_request_id="request-1")
    (line,) = [line for name, line in lines if name == "gateway"]
    entry = json.loads(line)
    assert entry["event"] == "tools/call"
    assert (entry["tool"], entry["outcome"]) == ("more__echo", "ok")
    assert entry["requestId"] == "request-1"
    assert entry["durationMs"] > 0
    assert entry["responseBytes"] > 0
    assert "value" not in line


def test_a_tool_sees_no_header_of_the_client_but_its_trace(app: HostApp) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    result = call(
        app,
        "more__echo",
        {"a": [1, {"b": "ö"}]},
        traceparent=trace,
        authorization="Bearer secret",
        x_auth_subject="root",
        cookie="a=b",
    )["result"]
    seen = json.loads(result["content"][0]["text"])
    headers = {name: value for name, value in seen["headers"] if not name.startswith("spin-")}
    assert seen["arguments"] == {"a": [1, {"b": "ö"}]}
    assert headers["traceparent"] == trace
    assert set(headers) <= {
        "accept", "content-length", "content-type", "host", "traceparent", "transfer-encoding", "user-agent",
        "x-request-id",
    }  # fmt: skip


def test_paths_and_headers_choose(app: HostApp) -> None:
    everything = names(app)
    assert "suite__test_simple_text" in everything
    assert names(app, "/mcp/x/more") == ["echo", "structured"]
    assert names(app, "/mcp/x/more/readonly") == ["structured"]
    assert names(app, "/mcp", x_mcp_toolsets="more") == ["more__echo", "more__structured"]
    assert set(names(app, "/mcp/readonly")) == {name for name in everything if "structured" in name}
    assert names(app, x_mcp_readonly="true") == names(app, "/mcp/readonly")
    assert call(app, "echo", {}, "/mcp/x/more/readonly")["error"]["code"] == -32602


def test_a_large_answer_and_large_arguments_pass(app: HostApp) -> None:
    text = "x" * 900_000
    result = call(app, "more__echo", {"text": text})["result"]
    assert json.loads(result["content"][0]["text"])["arguments"]["text"] == text


def test_many_calls_of_one_batch_run_at_once(app: HostApp) -> None:
    one = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "faults__hang"}}
    batch = [{**one, "id": number} for number in range(5)]
    begun = time.monotonic()
    answers = json.loads(post(app, "/mcp", json.dumps(batch).encode()).read())
    assert time.monotonic() - begun < 4
    assert [answer["id"] for answer in answers] == list(range(5))
    assert all(answer["result"]["isError"] for answer in answers)


def test_a_dynamic_component_is_asked_once(
    conformance_tool: Path, component: Component, tmp_path: Path
) -> None:
    unknown = replace(component, tools=None, dynamic_reason="for the test")
    app = application(
        conformance_tool,
        unknown,
        [{"name": "late"}],
        state_dir=tmp_path,
        log=lambda *_: None,
    )
    listed = names(app)
    assert "late__test_simple_text" in listed
    assert call(app, "late__echo")["result"]["content"]
    assert names(app, "/mcp/x/late/readonly") == [
        "structured", "structured_wrong", "structured_missing", "structured_as_text",
    ]  # fmt: skip
    app.close()


def test_only_the_probe_asks_every_tool(conformance_tool: Path, component: Component) -> None:
    missing = replace(
        component, tools=(*(component.tools or ()), replace((component.tools or ())[0], name="gone"))
    )
    app = application(
        conformance_tool,
        missing,
        [{"name": "suite"}],
        variables={"gateway_probe_word": "word"},
        log=lambda *_: None,
    )

    def ready(*headers: tuple[str, bytes]) -> tuple[int, dict[str, Any]]:
        response = app.handle(Request("GET", "/readyz", headers))
        return response.status, json.loads(response.read())

    assert ready() == (200, {"status": "ready"})
    assert ready(("x-ftl-probe", b"wrong")) == (200, {"status": "ready"})
    status, answer = ready(("x-ftl-probe", b"word"))
    assert status == 503
    assert answer["silent"] == [{"component": "suite", "error": "it no longer has: gone"}]
    app.close()


def test_the_kubelets_probe_asks_every_tool_until_all_have_answered(
    conformance_tool: Path, component: Component
) -> None:
    app = application(
        conformance_tool,
        component,
        [{"name": "suite"}],
        variables={"gateway_probe_word": "word"},
        log=lambda *_: None,
    )
    once = (("x-ftl-probe-once", b"true"),)

    def ready(*headers: tuple[str, bytes]) -> dict[str, Any]:
        return json.loads(app.handle(Request("GET", "/readyz", headers)).read())

    assert ready(*once) == {"status": "ready"}
    assert ready(*once) == {"status": "ready"}
    assert ready(("x-ftl-probe", b"word"))["components"] == 1
    app.close()


def test_a_policy_is_judged_in_the_sandbox() -> None:
    policy = 'package mcp.authorization\ndefault allow := false\nallow if input.mcp.tool == "a"'
    question = {"policy": policy, "data": None, "inputs": [{"mcp": {"tool": "a"}}, {"mcp": {"tool": "b"}}]}
    answer = json.loads(check_policy(GATEWAY_WASM, json.dumps(question).encode()))
    assert answer == {"decisions": [True, False], "error": None}


def test_progress_reaches_the_client_before_the_tool_ends(
    conformance_tool: Path, component: Component
) -> None:
    """The tool ends only when the client, who has seen its progress, lets it."""
    seen = threading.Event()

    class Outside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204 if seen.wait(20) else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Outside) as outside:
        threading.Thread(target=outside.serve_forever, daemon=True).start()
        authority = f"127.0.0.1:{outside.server_port}"
        entry = {"name": "it", "include": ["patient"], "allowedOutboundHosts": [f"http://{authority}"]}
        app = application(conformance_tool, component, [entry])
        with (
            serve(app, port=0) as server,
            closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as client,
        ):
            params = {
                "name": "it__patient",
                "arguments": {"authority": authority},
                "_meta": {"progressToken": "t"},
            }
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            client.request("POST", "/mcp", json.dumps(message), headers)
            response = client.getresponse()
            assert response.headers["content-type"] == "text/event-stream"
            assert event(response)["params"] == {"progressToken": "t", "progress": 1, "total": 2}
            seen.set()
            assert event(response)["result"]["content"] == [{"type": "text", "text": "it answered"}]
            assert response.read() == b""
        app.close()
        outside.shutdown()


def event(response: HTTPResponse) -> Any:
    """The next message of an event stream."""
    lines = iter(response.readline, b"\n")
    return json.loads(b"".join(line[6:] for line in lines if line.startswith(b"data: ")))


def test_schemas_are_judged_in_the_sandbox() -> None:
    schemas = [
        {"type": "object", "properties": {"name": {"pattern": "^\\p{L}+$"}}},
        {"type": "object", "properties": {"name": {"pattern": "(?i)^ab\\Z"}}},
        {"type": "object", "properties": {"name": {"pattern": "^(a|b)\\1$"}}},
        {"type": "object", "properties": {"name": {"pattern": "^[[:alpha:]]+$"}}},
        {"type": "object", "properties": {"name": {"pattern": "^(a$"}}},
    ]
    document = {
        "spin_lock_version": 1,
        "variables": {},
        "triggers": [
            {
                "id": "http",
                "trigger_type": "http",
                "trigger_config": {"component": "gateway", "route": "/..."},
            }
        ],
        "components": [
            {
                "id": "gateway",
                "source": {"content_type": "application/wasm", "digest": digest_of(GATEWAY_WASM)},
                "config": {"gateway_config": '{"schemaCheck":true}'},
            }
        ],
    }
    with closing(HostApp(document, lambda _: GATEWAY_WASM, log=lambda *_: None)) as app:
        body = json.dumps({"schemas": schemas}).encode()
        answer = json.loads(app.handle(Request("POST", "/__schemas", body=body)).read())
    good, translated, unsupported, misread, malformed = answer["results"]
    assert good == {"error": None, "warnings": []}
    assert translated == {
        "error": None,
        "warnings": [],
        "schema": {"type": "object", "properties": {"name": {"pattern": "^[aA][bB]$"}}},
    }
    assert unsupported["error"] is None
    assert "backreference" in unsupported["warnings"][0]
    assert "POSIX class" in misread["warnings"][0]
    assert malformed["error"] == "at /properties/name/pattern: the pattern ^(a$ lacks a closing parenthesis"
