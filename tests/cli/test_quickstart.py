"""README's first commands on a fresh clone, and the official SDKs as clients of what they serve."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builds import built
from tests.gateway.gateway_app import node
from tests.support.command import DEADLINE, QUICKSTART, ROOT, Shell, list_tools

CLIENTS = ROOT / "tests" / "clients"
TOOLS = ["text__count", "text__slugify", "text__sort_lines", "units__convert", "units__list_units"]
LOOPBACK = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


def readme(first_words: str) -> str:
    """The command of README that begins so."""
    fences = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [fence for fence in fences if fence.startswith(first_words)]
    return str(found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.integration
def test_a_newcomer_follows_the_readme(tmp_path: Path) -> None:
    """With an empty HOME and a bare PATH; downloads come from where this machine has them."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    # Another port than README's, which a program of whoever runs the tests may have.
    port = free_port()
    command = f"{ROOT / 'scripts/fresh'} {readme('make up').strip()} PORT={port}"
    with running(command, clone, "Ctrl-C stops.") as said:
        text = said()
        url = f"http://127.0.0.1:{port}/mcp"
        assert f"quickstart serves {url}" in text
        assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == {
            "mcpServers": {"quickstart": {"type": "http", "url": url}}
        }
        called = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", readme("curl").replace(":3000/", f":{port}/")],
            env=os.environ | LOOPBACK,
            capture_output=True,
            check=True,
            timeout=DEADLINE,
        )
        assert "42.16" in json.dumps(json.loads(called.stdout)["result"]["content"])
        assert list_tools(url) == TOOLS
    said_at_the_end = said()
    assert "Error" not in said_at_the_end
    installed = {path.name for path in (clone / ".venv" / "bin").iterdir()}
    assert "ftl-operator" in installed
    assert installed.isdisjoint({"pytest", "ruff", "mypy", "mkdocs"})


@contextlib.contextmanager
def running(command: str, folder: Path, ready: str) -> Iterator[Callable[[], str]]:
    """A command in a process group of its own, once it has said `ready`; at the end Ctrl-C, which ends it."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    arrived = threading.Event()

    def read() -> None:
        for line in process.stdout or ():
            lines.append(line)
            if ready in line:
                arrived.set()
        arrived.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert arrived.wait(DEADLINE)
        assert any(ready in line for line in lines), "".join(lines)
        yield lambda: "".join(lines)
        os.killpg(process.pid, signal.SIGINT)
        # make ends by the signal, as what it ran was told to.
        assert process.wait(DEADLINE) in (0, 128 + signal.SIGINT, -signal.SIGINT), "".join(lines)
        reader.join(DEADLINE)
        assert "Traceback" not in "".join(lines)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def python(environment: str, script: str) -> list[str]:
    return [str(built("python-clients") / environment / "bin/python"), str(CLIENTS / script)]


def typescript(script: str) -> list[str]:
    """Run where the packages are: an import is looked up from the script's own place."""
    node_program = node("")[0]
    return [node_program, "--input-type=module", "--eval", (CLIENTS / script).read_text(), "--"]


SDKS: dict[str, Callable[[], list[str]]] = {
    "python-1": lambda: python("mcp-1", "python_1.py"),
    "python-2": lambda: python("mcp-2", "python_2.py"),
    "typescript-1": lambda: typescript("typescript_1.mjs"),
    "typescript-2": lambda: typescript("typescript_2.mjs"),
}


@pytest.mark.needs("mcp-node", "python-clients")
def test_the_official_sdks_list_and_call_tools_of_two_components(shell: Shell) -> None:
    folder = built("mcp-node")
    with shell.up(QUICKSTART / "ftlapp.yaml") as served:
        for name, command in SDKS.items():
            done = subprocess.run(
                [*command(), served.url],
                cwd=folder,
                env=os.environ | LOOPBACK,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
            assert done.returncode == 0, f"{name}: {done.stderr}"
            report = json.loads(done.stdout)
            assert report["tools"] == TOOLS, name
            assert "2" in report["texts"][0], name
            assert report["texts"][1] == "2000 m", name
