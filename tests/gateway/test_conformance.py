"""The official MCP conformance suite, both requirement sets, against the composed application over HTTP."""

import json
import subprocess
from pathlib import Path

import pytest
from gateway_app import HERE, node

from ftl_operator.host import Server

MAIN = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
_BOTH = {
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-error",
    "tools-call-with-progress",
    "dns-rebinding-protection",
    "json-schema-2020-12",
}
MUST_PASS = {
    "2025-11-25": _BOTH | {"server-initialize", "ping"},
    "2026-07-28": _BOTH
    | {
        "server-stateless",
        "server-sse-multiple-streams",
        "http-header-validation",
        "http-custom-header-server-validation",
        "input-required-result-basic-elicitation",
        "input-required-result-basic-sampling",
        "input-required-result-basic-list-roots",
        "input-required-result-request-state",
        "input-required-result-multiple-input-requests",
        "input-required-result-multi-round",
        "input-required-result-missing-input-response",
        "input-required-result-result-type",
        "input-required-result-unsupported-methods",
        "input-required-result-tampered-state",
        "input-required-result-capability-check",
        "input-required-result-ignore-extra-params",
        "input-required-result-validate-input",
    },
}


@pytest.mark.parametrize("revision", sorted(MUST_PASS))
def test_conformance(server: Server, revision: str, tmp_path: Path) -> None:
    baseline = HERE / f"expected-failures-{revision}.yml"
    url = server.url.replace("127.0.0.1", "localhost") + "/mcp/x/suite"
    command = node(
        MAIN, "server", "--url", url, "--requirements", revision,
        "--expected-failures", str(baseline), "-o", str(tmp_path),
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, caching = set(), []
    for path in tmp_path.rglob("checks.json"):
        checks = json.loads(path.read_text())
        if checks and all(check["status"] in ("SUCCESS", "INFO", "SKIPPED") for check in checks):
            passed.add(path.parent.name)
        if path.parent.name.startswith("server-caching"):
            caching = [check["id"] for check in checks if check["status"] == "SUCCESS"]
    # The baseline says what may fail; this says what must not be in it.
    missing = {name for name in MUST_PASS[revision] if not any(name in folder for folder in passed)}
    assert not missing, (missing, done.stdout)
    if revision == "2026-07-28":
        assert any("tools-list" in check for check in caching), caching
