"""EDGE: asks a running app, through its Service, whether it answers for every tool.

The gateway's `/readyz` wakes every component when the header `x-ftl-probe` has the app's own word, and
names those that do not answer. A public app is asked for its list of tools too, as any client would ask.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3

from ftl_operator.api.conditions import ConditionState, false, true, unknown
from ftl_operator.api.names import PROBE_HEADER
from ftl_operator.errors import Reason

PROTOCOL = "2025-11-25"
"""The revision of the Model Context Protocol that the operator asks in."""
MAX_BYTES = 16 * 1024 * 1024
"""The most that is read of an answer."""

_MAX_PAGES = 64
"""The most pages of a list that are asked for; a page has a quarter of a mebibyte."""


class Probe:
    """Asks running apps.

    Args:
        timeout_seconds: How long one answer may take.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._pool = urllib3.PoolManager(num_pools=32, retries=False)
        self._timeout = urllib3.Timeout(connect=min(timeout_seconds, 3.0), read=timeout_seconds)

    def ask(self, url: str, token: str, *, expected: Sequence[str], is_public: bool) -> ConditionState:
        """Ask one app.

        Args:
            url: The app's Service, without a slash at the end.
            token: The app's own word for the deep probe.
            expected: The names of tools that clients must see.
            is_public: Whether the list of tools can be had without a token.

        Returns:
            The condition `Verified`: Unknown with `NotVerified` if the app could not be reached or asked.
        """
        try:
            finding = self._ready(url, token)
            if finding is None and is_public:
                finding = self._listed(url, expected)
        except urllib3.exceptions.HTTPError as error:
            return unknown(f"the app could not be asked at {url}: {error}", Reason.NOT_VERIFIED)
        return finding or true(f"the running app answers for {_tools(expected)}", Reason.TOOLS_VERIFIED)

    def _ready(self, url: str, token: str) -> ConditionState | None:
        answer = self._request("GET", f"{url}/readyz", {PROBE_HEADER: token})
        if answer.status < 400:
            return None
        said = _object(answer.data)
        silent = [item for item in said.get("silent", ()) if isinstance(item, Mapping)]
        if silent:
            named = "; ".join(f"{item.get('component')}: {item.get('error')}" for item in silent[:10])
            return false(f"these components do not answer: {named}", Reason.TOOLS_SILENT)
        text = str(said.get("error") or said.get("status") or f"HTTP {answer.status}")
        return unknown(f"the app does not call itself ready: {text[:300]}", Reason.NOT_VERIFIED)

    def _listed(self, url: str, expected: Sequence[str]) -> ConditionState | None:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": PROTOCOL,
        }
        listed: set[Any] = set()
        params: dict[str, Any] = {}
        for _ in range(_MAX_PAGES):
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
            answer = self._request("POST", f"{url}/mcp", headers, json.dumps(message).encode())
            result = _object(answer.data).get("result")
            if answer.status != 200 or not isinstance(result, Mapping):
                return false(f"tools/list gives HTTP {answer.status} and no result", Reason.TOOLS_SILENT)
            listed |= {tool.get("name") for tool in result.get("tools", ()) if isinstance(tool, Mapping)}
            if not isinstance(result.get("nextCursor"), str):
                break
            params = {"cursor": result["nextCursor"]}
        absent = [name for name in expected if name not in listed]
        if absent:
            return false(f"tools/list does not show {', '.join(absent[:10])}", Reason.TOOLS_SILENT)
        return None

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            method, url, headers=dict(headers), body=body, timeout=self._timeout, redirect=False
        )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw[:MAX_BYTES])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _tools(expected: Sequence[str]) -> str:
    return f"{len(expected)} tools" if len(expected) != 1 else "1 tool"
