"""The real console script, as a subprocess: commands that end, and `up` as it serves."""

import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from click.testing import CliRunner

from ftl_operator.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
SCRIPT = Path(sys.executable).parent / "ftl-operator"
DEADLINE = 600.0
"""Seconds that a command may take: many times what it needs, for a machine that does much else."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error of `--output json`, of which every line on standard error is JSON."""
        lines = [json.loads(line) for line in self.err.splitlines()]
        return next(line["error"] for line in lines if "error" in line)


@dataclass
class Shell:
    """Runs `ftl-operator` in a folder, with caches and state of its own."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: object, stdin: bytes = b"", **environment: str) -> Done:
        done = subprocess.run(
            [str(SCRIPT), *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *arguments: object, stdin: bytes = b"", **environment: str) -> Done:
        done = self.run(*arguments, stdin=stdin, **environment)
        assert done.code == 0, f"{arguments} ended with {done.code}:\n{done.err}"
        return done

    def invoke(self, *arguments: object, stdin: bytes = b"") -> Done:
        """The same in this process, which is quicker where many cases differ in little."""
        runner = CliRunner(
            env={**dict.fromkeys(os.environ.keys() - self.environment.keys()), **self.environment}
        )
        with contextlib.chdir(self.folder):
            result = runner.invoke(main, list(map(str, arguments)), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    @contextlib.contextmanager
    def up(self, *arguments: object, **environment: str) -> Iterator["Served"]:
        """`up --port 0 --output json`; at the end Ctrl-C, and that it ends in order is checked."""
        process = subprocess.Popen(
            [str(SCRIPT), "up", *map(str, arguments), "--port", "0", "--output", "json"],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        served = Served(process)
        try:
            served.announcement = served.next_announcement()
            yield served
            if process.poll() is None:
                served.stop()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE)


@dataclass
class Served:
    """A running `up`."""

    process: "subprocess.Popen[str]"
    announcement: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """The lines on standard error."""

    def __post_init__(self) -> None:
        self._announced: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def url(self) -> str:
        return str(self.announcement["url"])

    def next_announcement(self) -> dict[str, Any]:
        line = self._announced.get(timeout=DEADLINE)
        if not line:
            self.process.wait(DEADLINE)
            self._readers[1].join(DEADLINE)
            raise AssertionError(f"up ended with {self.process.returncode}:\n" + "".join(self.said))
        document: dict[str, Any] = json.loads(line)
        return document

    def wait_for(self, text: str) -> None:
        """Until a line with this text was said."""
        poll(lambda: any(text in line for line in list(self.said)), f"{text!r} in {self.said}")

    def stop(self, number: int = signal.SIGINT, code: int = 0) -> None:
        """Ends with `code`, soon, without a traceback, and leaves no process of its group behind."""
        os.kill(self.process.pid, number)
        assert self.process.wait(20) == code, "".join(self.said)
        for reader in self._readers:
            reader.join(20)
        assert not any("Traceback" in line or "Fatal" in line for line in self.said), "".join(self.said)
        assert not group_members(self.process.pid)

    def _read_out(self) -> None:
        for line in self.process.stdout or ():
            self._announced.put(line)
        self._announced.put("")

    def _read_errors(self) -> None:
        for line in self.process.stderr or ():
            self.said.append(line)


def group_members(group: int) -> list[str]:
    """The processes of a process group that still run."""
    members = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError, ValueError):
            if entry.name.isdecimal():
                state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(pgrp) == group and state != "Z":
                    members.append(entry.name)
    return members


def poll(condition: Any, what: str, seconds: float = DEADLINE) -> None:
    """Until a condition holds. Raises AssertionError with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def post(url: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """POST a JSON-RPC message as an MCP client does; the status, and the answer if it is JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    try:
        connection.request("POST", parts.path, json.dumps(document), {**sent, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(body) if is_json else body.decode()
    finally:
        connection.close()


def list_tools(url: str, headers: Mapping[str, str] | None = None) -> list[str]:
    status, answer = post(url, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers)
    assert status == 200, answer
    return [tool["name"] for tool in answer["result"]["tools"]]


def call_tool(
    url: str, name: str, arguments: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    status, answer = post(url, message, headers)
    assert status == 200, answer
    result: dict[str, Any] = answer["result"]
    return result
