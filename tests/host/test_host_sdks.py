"""Tools built with the published SDKs (FTL's for Rust and Python, Spin's for JavaScript) run on the host."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Start

from builds import built_wasm

pytestmark = pytest.mark.needs("rust-tools", "python-tool", "typescript-tool", "go-tool")

CALLS = [
    ("dates", "weekday", {"day": "2026-11-24"}, "Tuesday"),
    ("dates", "days_between", {"start": "2026-01-01", "end": "2026-02-01"}, "31"),
    ("words", "anagram", {"first": "Dormitory", "second": "dirty room"}, "yes"),
    ("text", "count", {"text": "two words"}, "2"),
    ("units", "convert", {"value": 1, "from": "km", "to": "m"}, "1000"),
    ("addresses", "contains", {"prefix": "10.0.0.0/8", "address": "11.0.0.1"}, "no"),
    ("addresses", "describe", {"address": "192.168.0.1"}, '"private": true'),
]


@pytest.mark.parametrize(("name", "tool", "arguments", "expected"), CALLS)
def test_a_tool_lists_and_answers(
    start: Start, name: str, tool: str, arguments: dict[str, object], expected: str
) -> None:
    app = start(wasm={"front": built_wasm(name)})
    status, listed = app.get("/")
    assert status == 200
    tools = {one["name"]: one for one in json.loads(listed)}
    assert tool in tools
    assert set(arguments) <= set(tools[tool]["inputSchema"]["properties"])
    status, answer = app.get(
        f"/{tool}", "POST", json.dumps(arguments).encode(), content_type="application/json"
    )
    assert status == 200, app.text
    result = json.loads(answer)
    assert not result.get("isError"), result
    assert expected in json.dumps(result)


@pytest.mark.parametrize("name", ["dates", "words"])
def test_tools_with_an_interpreter_inside_serve_many_at_once(start: Start, name: str) -> None:
    app = start(wasm={"front": built_wasm(name)})
    app.app.prepare()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: app.get("/"), range(64)))
    assert len(set(answers)) == 1
    assert answers[0][0] == 200
