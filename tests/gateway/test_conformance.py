"""The official MCP conformance suite, both requirement sets, against an app that `ftl-operator up` serves.

The suite knows its tools by exact names: at `/mcp` by an empty prefix, at the component's own path as always.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from gateway_app import HERE, node

from tests.support.command import DEADLINE, Shell

pytestmark = pytest.mark.needs("mcp-node")

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


FTLAPP = """\
apiVersion: ftl.tools/v1alpha1
kind: FtlApp
metadata: {name: conformance}
spec:
  access: public
  tools:
    - {name: suite, image: "file:TOOL", include: ["test_*", json_schema_2020_12_tool]PREFIX}
"""


@pytest.mark.parametrize(
    ("path", "prefix"), [("", ', prefix: ""'), ("/x/suite", "")], ids=["app", "component"]
)
@pytest.mark.parametrize("revision", sorted(MUST_PASS))
def test_conformance(
    shell: Shell, conformance_tool: Path, revision: str, tmp_path: Path, path: str, prefix: str
) -> None:
    baseline = HERE / f"expected-failures-{revision}.yml"
    results = tmp_path / "results"
    shutil.copy(conformance_tool, shell.folder)
    shell.write("ftlapp.yaml", FTLAPP.replace("TOOL", f"./{conformance_tool.name}").replace("PREFIX", prefix))
    with shell.up("ftlapp.yaml") as served:
        # The scenario about DNS rebinding wants a server called localhost.
        url = served.url.replace("127.0.0.1", "localhost") + path
        command = node(
            MAIN,
            "server",
            *("--url", url, "--requirements", revision),
            *("--expected-failures", str(baseline), "--output-dir", str(results)),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, caching = set(), []
    for file in results.rglob("checks.json"):
        checks = json.loads(file.read_text())
        if checks and all(check["status"] in ("SUCCESS", "INFO", "SKIPPED") for check in checks):
            passed.add(file.parent.name)
        if file.parent.name.startswith("server-caching"):
            caching = [check["id"] for check in checks if check["status"] == "SUCCESS"]
    # The baseline says what may fail; this says what must not be in it.
    missing = {name for name in MUST_PASS[revision] if not any(name in folder for folder in passed)}
    assert not missing, (missing, done.stdout)
    if revision == "2026-07-28":
        assert any("tools-list" in check for check in caching), caching
