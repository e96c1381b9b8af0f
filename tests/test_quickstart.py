"""README's first commands on a fresh clone, and the official SDKs as clients of what they serve."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import DEADLINE, QUICKSTART, ROOT, Shell, list_tools
from tests.gateway.gateway_app import node, node_directory

CLIENTS = ROOT / "tests" / "clients"
TOOLS = ["text__count", "text__slugify", "text__sort_lines", "units__convert", "units__list_units"]
READY_SECONDS = 60.0
"""How soon `make up` serves, from finished downloads on."""


def readme(first_words: str) -> str:
    """The command of README that begins so."""
    fences = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [fence for fence in fences if fence.startswith(first_words)]
    return str(found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine on which everything is downloaded and nothing is compiled."""
    uv = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return {**kept, "XDG_CACHE_HOME": str(tmp_path / "cache"), "UV_CACHE_DIR": uv}


@pytest.mark.timeout(900)
def test_make_up_serves_a_fresh_clone(tmp_path: Path, environment: dict[str, str]) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    subprocess.run(["make", "init"], cwd=clone, env=environment, check=True, timeout=600, capture_output=True)
    # Another port than README's, which a program of whoever runs the tests may have.
    port = free_port()
    command = readme("make up").strip()
    started = time.monotonic()
    with running(f"{command} PORT={port}", clone, environment, "Ctrl-C stops.") as said:
        seconds = time.monotonic() - started
        text = said()
        url = f"http://127.0.0.1:{port}/mcp"
        assert f"quickstart serves {url}" in text
        assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == {
            "mcpServers": {"quickstart": {"type": "http", "url": url}}
        }
        called = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", readme("curl").replace(":3000/", f":{port}/")],
            env=environment | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert "42.16" in json.dumps(json.loads(called.stdout)["result"]["content"])
        assert list_tools(url) == TOOLS
    assert seconds < READY_SECONDS, f"make up took {seconds:.0f} s"


@contextlib.contextmanager
def running(
    command: str, folder: Path, environment: dict[str, str], ready: str
) -> Iterator[Callable[[], str]]:
    """A command in a process group of its own, once it has said `ready`; at the end Ctrl-C."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
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
        process.wait(30)
        reader.join(30)
        assert "Traceback" not in "".join(lines)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def python(requirement: str, script: str) -> list[str]:
    command = ["uv", "run", "--quiet", "--no-project", "--with", requirement, "python"]
    return [*command, str(CLIENTS / script)]


def typescript(script: str) -> list[str]:
    """Run where the packages are: an import is looked up from the script's own place."""
    node_program = node("")[0]
    return [node_program, "--input-type=module", "--eval", (CLIENTS / script).read_text(), "--"]


SDKS: dict[str, Callable[[], list[str]]] = {
    "python-1": lambda: python("mcp==1.30.0", "python_1.py"),
    "python-2": lambda: python("mcp==2.3.0", "python_2.py"),
    "typescript-1": lambda: typescript("typescript_1.mjs"),
    "typescript-2": lambda: typescript("typescript_2.mjs"),
}


@pytest.mark.timeout(900)
def test_the_official_sdks_list_and_call_tools_of_two_components(shell: Shell) -> None:
    folder = node_directory()
    loopback = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    with shell.up(QUICKSTART / "ftlapp.yaml") as served:
        for name, command in SDKS.items():
            done = subprocess.run(
                [*command(), served.url],
                cwd=folder,
                env=os.environ | loopback,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert done.returncode == 0, f"{name}: {done.stderr}"
            report = json.loads(done.stdout)
            assert report["tools"] == TOOLS, name
            assert "2" in report["texts"][0], name
            assert report["texts"][1] == "2000 m", name
