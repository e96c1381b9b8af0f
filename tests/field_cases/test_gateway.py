"""Field cases that the gateway answers alone, on the committed component: versions, origins, patterns."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ftl_operator.api.app import FtlApp
from ftl_operator.cli.workspace import GATEWAY_WASM
from ftl_operator.errors import SpecError
from ftl_operator.host import HostApp, Request
from ftl_operator.host.engine.engine import digest_of
from tests.support.specs import ftlapp

HEADERS = (("host", b"tools.acme.dev"), ("content-type", b"application/json"))


def gateway(config: dict[str, Any] | str) -> HostApp:
    """The gateway without tools. A text is its whole configuration."""
    texts = {"gateway_config": config if isinstance(config, str) else json.dumps(config)}
    locked = {
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
                "config": texts,
            }
        ],
    }
    app = HostApp(locked, lambda _: GATEWAY_WASM, log=lambda *_: None)
    app.prepare()
    return app


@pytest.fixture(scope="module")
def public() -> Iterator[HostApp]:
    app = gateway(
        {
            "name": "demo",
            "version": "1",
            "app": "sha256:0",
            "auth": None,
            "allowedOrigins": ["https://*.acme.dev"],
        }
    )
    yield app
    app.close()


@pytest.fixture(scope="module")
def judge() -> Iterator[HostApp]:
    app = gateway('{"schemaCheck":true}')
    yield app
    app.close()


def judged(app: HostApp, pattern: str) -> dict[str, Any]:
    question = {"schemas": [{"type": "object", "properties": {"x": {"pattern": pattern}}}]}
    answer = json.loads(app.handle(Request("POST", "/__schemas", body=json.dumps(question).encode())).read())
    result: dict[str, Any] = answer["results"][0]
    return result


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(pattern, id=f"1 {pattern}")
        for pattern in (
            r"^\p{L}+$",
            r"^\P{Lu}+$",
            r"^(?<year>\d{4})$",
            "^[^]+$",
            r"^\u{1F600}$",
            "^(?<=a|bc)d",
            r"^\p{Lowercase}{2}\cJ\/$",
            "^(?!x)[]*$",
        )
    ],
)
def test_patterns_of_ecma_262_are_fine(judge: HostApp, pattern: str) -> None:
    assert judged(judge, pattern) == {"error": None, "warnings": []}


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        pytest.param(pattern, translated, id=f"2 {pattern}")
        for pattern, translated in (
            ("(?i)^abc$", "^[aA][bB][cC]$"),
            (r"\A[a-z]+\Z", "^[a-z]+$"),
            (r"\A[a-z]+\z", "^[a-z]+$"),
            (r"^(?P<y>\d{4})$", r"^(?<y>\d{4})$"),
            ("(?s)^.$", "^[^]$"),
            (r"^\pL$", r"^\p{L}$"),
        )
    ],
)
def test_patterns_of_other_languages_are_translated(judge: HostApp, pattern: str, translated: str) -> None:
    result = judged(judge, pattern)
    assert (result["error"], result["warnings"]) == (None, [])
    assert result["schema"]["properties"]["x"]["pattern"] == translated


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(pattern, id=f"2 {pattern}")
        for pattern in (
            r"^(a|b)\1$",
            r"(?P<q>['\"]).*(?P=q)",
            "^[[:alpha:]]+$",
            "(?>a)",
            "a++",
            r"\p{Script=Greek}",
            "(?x) a",
        )
    ],
)
def test_patterns_that_cannot_be_matched_are_a_warning(judge: HostApp, pattern: str) -> None:
    result = judged(judge, pattern)
    assert result["error"] is None
    assert len(result["warnings"]) == 1
    assert "schema" not in result


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, id=f"13 {version}")
        for version in (
            "2024-11-05",
            "2024-10-07",
            "DRAFT-2026-v1",
            "2099-01-01",
            "2026-07-28",
            "2025-06-18",
        )
    ],
)
def test_initialize_is_answered_whatever_its_header_says(public: HostApp, version: str) -> None:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "c", "version": "1"},
        },
    }
    headers = (*HEADERS, ("mcp-protocol-version", version.encode()))
    response = public.handle(Request("POST", "/mcp", headers, json.dumps(message).encode()))
    assert response.status == 200
    assert json.loads(response.read())["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        pytest.param(origin, status, id=f"21 {origin}")
        for origin, status in (
            ("https://app.acme.dev", 200),
            ("https://APP-2.acme.dev", 200),
            ("https://a.b.acme.dev", 403),
            ("https://acme.dev", 403),
            ("https://evilacme.dev", 403),
            ("http://app.acme.dev", 403),
            ("https://app.acme.dev.evil.test", 403),
            ("https://app.acme.dev:444", 403),
        )
    ],
)
def test_a_wildcard_origin_is_one_label(public: HostApp, origin: str, status: int) -> None:
    headers = (*HEADERS, ("origin", origin.encode()))
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert public.handle(Request("POST", "/mcp", headers, ping)).status == status


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(origin, id=f"21 {origin}")
        for origin in (
            "https://*.acme.dev",
            "https://*.acme.dev:8443",
            "https://app.acme.dev",
            "http://localhost:5173",
        )
    ],
)
def test_origins_and_wildcards_of_one_label_are_taken(origin: str) -> None:
    document = ftlapp({"gateway": {"allowedOrigins": [origin]}})
    assert FtlApp.parse(document).spec.gateway.allowed_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(origin, id=f"21 {origin}")
        for origin in ("https://app*.acme.dev", "https://*", "https://*.*.dev", "https://app.*.dev")
    ],
)
def test_an_origin_that_could_never_match_is_refused(origin: str) -> None:
    with pytest.raises(SpecError, match="allowedOrigins"):
        FtlApp.parse(ftlapp({"gateway": {"allowedOrigins": [origin]}}))


def test_a_person_who_opens_the_address_reads_what_it_is(public: HostApp) -> None:
    for path in ("/", "/mcp"):
        response = public.handle(Request("GET", path, (("accept", b"text/html,*/*;q=0.8"),)))
        assert response.status == 200
        assert b"Endpoint: /mcp" in response.read()
