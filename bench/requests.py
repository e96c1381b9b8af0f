"""The requests that are measured, and what their answers must be for a measurement to count."""

import json
from collections.abc import Mapping
from typing import Any

from ftl_operator.host import Request

ARGUMENTS = {
    "city": "Reykjavík",
    "days": 5,
    "units": "metric",
    "include": ["wind", "rain"],
    "near": {"lat": 64.15, "lon": -21.94},
}
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


class UnusableAnswerError(Exception):
    """An answer is not the expected one, so its cost means nothing."""


def direct(tool: str) -> Request:
    """The call as the tool itself takes it."""
    headers = (("host", b"localhost"), ("content-type", b"application/json"))
    return Request("POST", f"/{tool}", headers, json.dumps(ARGUMENTS).encode())


def call(tool: str, *, version: str = MODERN, token: str = "") -> Request:
    """`tools/call` of a tool at `/mcp`."""
    return _rpc("tools/call", {"name": tool, "arguments": ARGUMENTS}, version, token)


def listing(*, version: str = MODERN) -> Request:
    """`tools/list`."""
    return _rpc("tools/list", {}, version, "")


def check(request: Request, status: int, body: bytes) -> None:
    """Raises UnusableAnswerError unless the answer is what this request is for."""
    if request.target.startswith("/login/"):
        if status != 200 or b'name="password"' not in body:
            raise UnusableAnswerError(f"{request.target} answered {status}: {body[:300]!r}")
        return
    answer = json.loads(body) if status == 200 else None
    if b'"jsonrpc"' in request.body:
        answer = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or answer.get("isError"):
        raise UnusableAnswerError(f"{request.target} answered {status}: {body[:300]!r}")
    if "tools" not in answer and answer.get("structuredContent", {}).get("city") != ARGUMENTS["city"]:
        raise UnusableAnswerError(f"{request.target} gave no forecast: {body[:300]!r}")


def _rpc(method: str, params: Mapping[str, Any], version: str, token: str) -> Request:
    modern = version == MODERN
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {**params, "_meta": _META} if modern else dict(params),
    }
    headers = [
        ("host", b"localhost"),
        ("content-type", b"application/json"),
        ("accept", b"application/json, text/event-stream"),
        ("mcp-protocol-version", version.encode()),
    ]
    if modern:
        headers.append(("mcp-method", method.encode()))
        if "name" in params:
            headers.append(("mcp-name", str(params["name"]).encode()))
    if token:
        headers.append(("authorization", f"Bearer {token}".encode()))
    return Request("POST", "/mcp", tuple(headers), json.dumps(message).encode())
