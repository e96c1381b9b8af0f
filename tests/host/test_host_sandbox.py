"""An untrusted component runs in a child process; the parent gets a result or a reason."""

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from builds import built_wasm
from ftl_operator.errors import ComponentError, InspectionError, Reason
from ftl_operator.host import SandboxLimits
from ftl_operator.host.sandbox import child, parent
from ftl_operator.host.sandbox.parent import ask_tools, check_policy, inspect_component, run_command

QUICK = SandboxLimits(time=30, call_time=1, memory=64 << 20, output=1 << 20)
PATIENT = replace(QUICK, call_time=20)


def test_it_answers(guests: Path) -> None:
    assert ask_tools(guests, path="/hello") == b"hello"


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/loop", "passed its time limit of 1 s"),
        ("/wait", "passed its time limit of 1 s"),
        ("/alloc", "its memory limit is 64 MiB"),
        ("/flood/100", "longer than 1048576 bytes"),
        ("/trap", "trapped on purpose"),
        ("/late-trap", "trapped after the head"),
        ("/exit/3", "exit status 1"),
        ("/silent", "ended without a response"),
        ("/short", "not as long as content-length says"),
        ("/status/404", "status 404"),
        ("/resources", "open handles"),
        ("/fetch?http://example.com/", "HttpRequestDenied"),
        ("/fetch?http://tool.spin.internal/", "HttpRequestDenied"),
    ],
)
def test_it_says_what_went_wrong(guests: Path, path: str, cause: str) -> None:
    with pytest.raises(ComponentError, match=cause) as caught:
        ask_tools(guests, QUICK if "time limit" in cause else PATIENT, path)
    assert caught.value.reason is Reason.COMPONENT_FAILED
    assert len(str(caught.value)) < 4000


def test_a_hundred_megabytes_of_printed_lines_change_nothing(guests: Path) -> None:
    assert ask_tools(guests, PATIENT, "/print/" + "x" * 4000) == b""


def test_the_child_has_no_secrets_of_its_parent(guests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "x")
    assert ask_tools(guests, path="/env") == b""
    with pytest.raises(ComponentError):
        ask_tools(guests, path="/file/etc/passwd")


def test_the_whole_has_a_time_limit_too(guests: Path) -> None:
    before = time.monotonic()
    with pytest.raises(ComponentError, match=r"passed its time limit of 0\.01 s, compiling included"):
        ask_tools(guests, SandboxLimits(time=0.01))
    assert time.monotonic() - before < 5


def test_the_process_has_a_memory_limit(python_tool: Path) -> None:
    with pytest.raises(ComponentError, match="memory limit of its process, 128 MiB"):
        ask_tools(python_tool, SandboxLimits(process_memory=128 << 20))


@pytest.mark.parametrize("data", [b"", b"\0asm", b"\0asm\1\0\0\0", b"#!/bin/sh\n" * 100])
def test_other_bytes_are_no_component(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(data)
    with pytest.raises(ComponentError, match=r"cannot be loaded|does not export"):
        ask_tools(path)


def test_a_truncated_component_is_refused(tmp_path: Path, guests: Path) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(guests.read_bytes()[:-1000])
    with pytest.raises(ComponentError, match="cannot be loaded"):
        ask_tools(path)


def test_no_child_is_left_over(guests: Path) -> None:
    threads = [threading.Thread(target=lambda: ask_tools(guests, path="/hello")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


GATEWAY = Path(__file__).parents[2] / "ftl_operator" / "gateway.wasm"
POLICY = """package mcp.authorization

default allow := false
allow if input.token.sub in data.members
"""


def policy(rego: str) -> bytes:
    inputs = [{"token": {"sub": name}} for name in ("ada", "bob")]
    return json.dumps({"policy": rego, "data": json.dumps({"members": ["ada"]}), "inputs": inputs}).encode()


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    assert check_policy(GATEWAY, policy(POLICY), cache=tmp_path)
    (version,) = tmp_path.iterdir()
    assert version.stat().st_mode & 0o777 == 0o700
    (entry,) = version.iterdir()
    entry.write_bytes(entry.read_bytes()[:5000])
    assert check_policy(GATEWAY, policy(POLICY), cache=tmp_path)
    version.chmod(0o777)
    with pytest.raises(ComponentError, match="others may write"):
        check_policy(GATEWAY, policy(POLICY), cache=tmp_path)
    shutil.rmtree(version)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    # Even root cannot make a folder below a file.
    (tmp_path / "file").write_text("")
    assert check_policy(GATEWAY, policy(POLICY), cache=tmp_path / "file")


def test_the_operators_own_component_is_compiled_once(tmp_path: Path) -> None:
    assert check_policy(GATEWAY, policy(POLICY), cache=tmp_path)
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    compiled = entry.stat().st_ino
    assert check_policy(GATEWAY, policy(POLICY), cache=tmp_path)
    assert [path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()] == [compiled]


@pytest.mark.needs("rust-tools", "python-tool", "typescript-tool", "go-tool")
@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("dates", "weekday"),
        ("words", "anagram"),
        ("text", "count"),
        ("units", "name"),
        ("addresses", "contains"),
    ],
)
def test_tools_of_the_published_sdks_are_inspected_and_leave_no_code(
    name: str, tool: str, tmp_path: Path
) -> None:
    found = json.loads(inspect_component(built_wasm(name), GATEWAY, cache=tmp_path))
    assert tool in json.dumps(found["tools"])
    assert [record for record in found["tools"] if "fault" in record] == []
    # The code of the gateway, whose engine judged the schemas, and no other.
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert hashlib.sha256(GATEWAY.read_bytes()).hexdigest() in entry.name


@pytest.mark.parametrize(("computed", "slow"), [(0.0, True), (7.9, True), (8.0, False), (20.0, False)])
def test_who_computes_through_its_time_has_used_it_up_itself(
    monkeypatch: pytest.MonkeyPatch, computed: float, slow: object
) -> None:
    wall, processor = iter((100.0, 110.0)), iter((5.0, 5.0 + computed))
    clocks = SimpleNamespace(monotonic=lambda: next(wall), process_time=lambda: next(processor))
    monkeypatch.setattr(child, "time", clocks)
    assert child._Call(10.0).was_slow() is slow


def test_a_machine_that_ends_the_child_is_told_apart_from_the_component(
    guests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = parent._start

    def start() -> subprocess.Popen[bytes]:
        child = real()
        child.kill()
        return child

    monkeypatch.setattr(parent, "_start", start)
    with pytest.raises(InspectionError, match="no memory left"):
        ask_tools(guests)


def test_a_component_of_another_world_is_told_apart(guests: Path) -> None:
    with pytest.raises(
        ComponentError, match=r"does not export wasi:cli/run \(it exports wasi:http/incoming-handler"
    ):
        run_command(guests, b"")


def test_a_policy_is_evaluated_by_the_gateway_itself() -> None:
    assert json.loads(check_policy(GATEWAY, policy(POLICY))) == {"decisions": [True, False], "error": None}
    broken = json.loads(check_policy(GATEWAY, policy("package mcp.authorization\nallow if {")))
    assert broken["error"]
