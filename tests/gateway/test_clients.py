"""Each common client lists tools, calls one, gets an error and gets progress, in its own environment."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gateway_app import HERE, node

from builds import built
from ftl_operator.host import Server
from tests.support.command import DEADLINE

pytestmark = pytest.mark.needs("mcp-node", "python-clients", "go-client")


def _python(environment: str, script: str) -> Callable[[str], list[str]]:
    return lambda url: [
        str(built("python-clients") / environment / "bin/python"),
        str(HERE / "clients" / script),
        url,
    ]


CLIENTS: dict[str, Callable[[str], list[str]]] = {
    "python-1": _python("mcp-1", "python_1.py"),
    "python-2": _python("mcp-2", "python_2.py"),
    "fastmcp": _python("fastmcp", "fastmcp_4.py"),
    "typescript-1": lambda url: node("client-1.mjs", url),
    "typescript-2": lambda url: node("client-2.mjs", url),
    "typescript-2-auto": lambda url: node("client-2.mjs", url, "auto"),
    "go": lambda url: [str(built("go-client") / "client"), url],
}


@pytest.mark.parametrize("client", CLIENTS)
def test_client(server: Server, client: str, tmp_path: Path) -> None:
    environment = os.environ | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    done = subprocess.run(
        CLIENTS[client](server.url + "/mcp/x/suite"),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report.get("server", "conformance") == "conformance"
    assert len(report["tools"]) == 20
    assert report["tools"][0] == "test_simple_text"
    assert report["plain"]["content"][0]["text"] == "This is a simple text response for testing."
    assert not report["plain"].get("isError")
    assert report["failed"]["isError"] is True
    assert report["failed"]["content"][0]["text"] == "This tool intentionally returns an error for testing"
    assert report["progress"] == [0, 50, 100]
