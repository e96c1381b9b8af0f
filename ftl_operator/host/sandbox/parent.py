"""Runs a component that nobody trusts yet in a child process: bounded time, memory and output, no network.

The child is this module run as a program; what happens there is in `sandboxed`. It inherits no environment
and no file but three pipes, and ends with its parent.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from ftl_operator.errors import ComponentError, Reason
from ftl_operator.host.engine.engine import cache_directory
from ftl_operator.host.limits import SandboxLimits

_HEAD = 64 << 10
"""What the child's answer may be longer than the output that it carries."""


def ask_tools(wasm: Path, limits: SandboxLimits | None = None, path: str = "/") -> bytes:
    """Ask a tool component for its tools: the body of its answer to `GET /`.

    Args:
        wasm: The component.
        limits: Of the child.
        path: Another path to ask.

    Raises:
        ComponentError: It failed, answered with another status than 200, or passed the limit that is named.
    """
    return _run("http", wasm, limits or SandboxLimits(), {"method": "GET", "path": path})


def check_policy(gateway: Path, request: bytes, limits: SandboxLimits | None = None) -> bytes:
    """Have the gateway component evaluate a policy: the body of its answer to `POST /__policy`.

    Args:
        gateway: The gateway component.
        request: JSON `{"policy", "data", "inputs": […]}`.
        limits: Of the child.

    Raises:
        ComponentError: As for `ask_tools`.
    """
    job = {"method": "POST", "path": "/__policy", "variables": {"gateway_config": '{"policyCheck":true}'}}
    return _run("http", gateway, limits or SandboxLimits(), job, request)


def run_command(wasm: Path, stdin: bytes, limits: SandboxLimits | None = None) -> bytes:
    """Run a `wasi:cli/command` component with `stdin` to its end; returns what it wrote to standard output.

    Raises:
        ComponentError: It ended with another status than 0, trapped, or passed a limit.
    """
    return _run("command", wasm, limits or SandboxLimits(), {}, stdin)


def _run(kind: str, wasm: Path, limits: SandboxLimits, job: dict[str, Any], body: bytes = b"") -> bytes:
    order = {"kind": kind, "wasm": str(wasm.resolve()), "cache": str(cache_directory()), **job}
    head = json.dumps(order | {"limits": asdict(limits)}).encode() + b"\n"
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "ftl_operator.host.sandbox.parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
    try:
        answer, errors = _exchange(child, head + body, limits)
        status = child.wait()
    finally:
        # The child is the leader of its own session, so this reaches whatever it might have started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    return _read(answer, errors, status, limits)


def _exchange(child: "subprocess.Popen[bytes]", order: bytes, limits: SandboxLimits) -> tuple[bytes, bytes]:
    """Feed the child, collect its output and errors. Raises ComponentError when time or output is over."""
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise ValueError("the child has no pipes")
    deadline = time.monotonic() + limits.time
    collected = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    rest = memoryview(order)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(child.stdin.fileno(), False)
        selector.register(child.stdin, selectors.EVENT_WRITE)
        for pipe in (child.stdout, child.stderr):
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise _failed(f"the component passed its time limit of {limits.time:g} s, compiling included")
            for key, _ in selector.select(left):
                if key.fileobj is child.stdin:
                    rest = _feed(child.stdin, rest)
                    done = not rest
                else:
                    done = not _collect(key.fd, collected[key.fd], limits)
                if done:
                    selector.unregister(key.fileobj)
                if done and key.fileobj is child.stdin:
                    child.stdin.close()
    return bytes(collected[child.stdout.fileno()]), bytes(collected[child.stderr.fileno()])


def _feed(pipe: IO[bytes], rest: memoryview) -> memoryview:
    try:
        rest = rest[os.write(pipe.fileno(), rest) :]
    except BrokenPipeError:
        rest = rest[:0]
    return rest


def _collect(fd: int, buffer: bytearray, limits: SandboxLimits) -> bool:
    chunk = os.read(fd, 1 << 16)
    buffer += chunk
    if len(buffer) > limits.output + _HEAD:
        raise _failed(f"the component's output is longer than {limits.output} bytes")
    return bool(chunk)


def _read(answer: bytes, errors: bytes, status: int, limits: SandboxLimits) -> bytes:
    head, newline, body = answer.partition(b"\n")
    if newline:
        failure = json.loads(head)["failure"]
        if failure is None:
            return body
        raise _failed(failure)
    if status == -signal.SIGXCPU:
        raise _failed("the component used up its processor time")
    if b"MemoryError" in errors or b"memory allocation" in errors or status == -signal.SIGKILL:
        raise _failed(
            f"the component passed the memory limit of its process, {limits.process_memory >> 20} MiB"
        )
    last = errors.decode(errors="replace").strip().rpartition("\n")[2]
    raise _failed(f"the process that ran the component ended with status {status}: {last[:500]}")


def _failed(message: str) -> ComponentError:
    return ComponentError(message, reason=Reason.COMPONENT_FAILED)


if __name__ == "__main__":
    from ftl_operator.host.sandbox.child import main

    main()
