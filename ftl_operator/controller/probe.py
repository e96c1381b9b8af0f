"""Probes a running app through its Service: does it answer for every tool?

The gateway's `/readyz` calls every component when the header `x-ftl-probe` has the app's probe word, and
names those that do not answer. An app without a probe word gets the kubelet's request: have all components
answered since this version runs? A public app is also asked for `tools/list`, as a client does.

The answer is untrusted: `gateway.image` may be any program of the tenant. So a probe takes bounded time and
memory, every answer becomes a condition, and texts from an answer are cut and made printable before they are
shown.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ftl_operator.api.conditions import ConditionState, false, true, unknown
from ftl_operator.api.names import PROBE_HEADER, PROBE_ONCE_HEADER
from ftl_operator.bounded_json import parse_json
from ftl_operator.errors import Reason
from ftl_operator.exchange import Answer, Deadline, ExchangeError, ExchangeSettings, HttpClient, Request
from ftl_operator.hosts import HostError, HttpUrl, parse_url

PROTOCOL = "2025-11-25"
"""The revision of the Model Context Protocol in the operator's requests."""
MAX_BYTES = 4 * 1024 * 1024
"""The largest answer that is read: as large as a component's list of tools may be in an inspection."""
MAX_PARTS = 300_000
"""How many JSON values an answer may have. A page of a quarter of a mebibyte has some ten thousand;
a larger tool has a mebibyte of icons, which are few values."""
SHOWN_CHARACTERS = 200
"""How many characters of one text in an answer are shown."""

_MAX_PAGES = 64
"""How many pages of a list are read at most; the gateway's pages have a quarter of a mebibyte."""
_MAX_NAMED = 10
"""How many components or tools a message names."""


class Probe:
    """Probes running apps. Safe to use from several threads.

    Args:
        timeout_seconds: How long the probe of one app may take in all.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._seconds = timeout_seconds
        # Services have private addresses, and no proxy stands between the operator and its cluster.
        self._client = HttpClient(
            ExchangeSettings(
                may_be_private=lambda _: True,
                proxies={},
                connect_seconds=min(timeout_seconds, 3.0),
                silence_seconds=timeout_seconds,
                idle_connections=0,
            )
        )

    def ask(self, url: str, word: str, *, expected: Sequence[str], is_public: bool) -> ConditionState:
        """Probe one app.

        Args:
            url: The app's Service, without a slash at the end.
            word: The app's probe word; empty if it has none.
            expected: The names of tools that clients must see.
            is_public: Whether `tools/list` needs no token.

        Returns:
            The condition `Verified`: Unknown with `NotVerified` if the app could not be reached.
        """
        deadline = Deadline.after(self._seconds)
        try:
            service = parse_url(url)
            found = self._ready(service, word, deadline)
            if found is None and is_public:
                found = self._listed(service, expected, deadline)
        except (HostError, ExchangeError) as error:
            return unknown(f"the app could not be asked at {url}: {error}", Reason.NOT_VERIFIED)
        return found or true(f"the running app answers for {_tools(expected)}", Reason.TOOLS_VERIFIED)

    def _ready(self, service: HttpUrl, word: str, deadline: Deadline) -> ConditionState | None:
        header = {PROBE_HEADER: word} if word else {PROBE_ONCE_HEADER: "true"}
        answer = self._fetch(Request("GET", _below(service, "/readyz"), header), deadline)
        if answer.status < 400:
            return None
        report = _object(answer.body)
        silent = [item for item in _list(report.get("silent")) if isinstance(item, Mapping)]
        if silent:
            pairs = [(_shown(item.get("component")), _shown(item.get("error"))) for item in silent]
            named = "; ".join(f"{component}: {error}" for component, error in pairs[:_MAX_NAMED])
            return false(f"these components do not answer: {named}", Reason.TOOLS_SILENT)
        why = next(
            (report[name] for name in ("error", "status") if report.get(name)), f"HTTP {answer.status}"
        )
        return unknown(f"the app reports that it is not ready: {_shown(why)}", Reason.NOT_VERIFIED)

    def _listed(self, service: HttpUrl, expected: Sequence[str], deadline: Deadline) -> ConditionState | None:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": PROTOCOL,
        }
        absent = dict.fromkeys(expected)
        params: dict[str, Any] = {}
        for _ in range(_MAX_PAGES):
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
            body = json.dumps(message).encode()
            answer = self._fetch(Request("POST", _below(service, "/mcp"), headers, body), deadline)
            result = _object(answer.body).get("result")
            if answer.status != 200 or not isinstance(result, Mapping):
                return false(f"tools/list gives HTTP {answer.status} and no result", Reason.TOOLS_SILENT)
            for tool in _list(result.get("tools")):
                name = tool.get("name") if isinstance(tool, Mapping) else None
                if isinstance(name, str):
                    absent.pop(name, None)
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str) or not absent:
                break
            params = {"cursor": cursor}
        if absent:
            names = ", ".join(list(absent)[:_MAX_NAMED])
            return false(f"tools/list does not show {names}", Reason.TOOLS_SILENT)
        return None

    def _fetch(self, request: Request, deadline: Deadline) -> Answer:
        return self._client.fetch(request, deadline, MAX_BYTES)


def _below(service: HttpUrl, path: str) -> HttpUrl:
    return service.with_target(service.target.rstrip("/") + path)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = parse_json(raw, MAX_PARTS)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _shown(value: object) -> str:
    """Make a string from an answer short and printable; for any other value, name its type."""
    if not isinstance(value, str):
        return "nothing" if value is None else f"a JSON value of the type {type(value).__name__}"
    cut = value[:SHOWN_CHARACTERS]
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut)
    return text if cut == value else f"{text}\N{HORIZONTAL ELLIPSIS}"


def _tools(expected: Sequence[str]) -> str:
    return f"{len(expected)} tools" if len(expected) != 1 else "1 tool"
