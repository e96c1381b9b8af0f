"""Runs an untrusted component in a child process with limited time, memory and output, and without network.

The child is this module, run as a program; its code is in `child`. It inherits no environment and no files
except three pipes, and it ends with its parent.
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

from ftl_operator.errors import ComponentError, InspectionError, Reason, SlowComponentError
from ftl_operator.host.engine.engine import cache_directory
from ftl_operator.host.limits import BUSY, COMPILER_THREADS, SandboxLimits

MAX_INSPECTION_BYTES = 12 << 20
"""The longest result of an inspection: metadata of 4 MiB, written anew, with schemas as the gateway enforces
them."""
_HEAD = 64 << 10
"""What the child's answer may be longer than the output that it carries."""


def inspect_component(
    wasm: Path,
    gateway: Path,
    limits: SandboxLimits | None = None,
    cache: Path | None = None,
    *,
    catalog: bytes = b"",
) -> bytes:
    """Find out what a component is, and which tools it has.

    Args:
        wasm: The component, or a core module of which Spin would make one.
        gateway: The gateway component, whose engine judges the tools' schemas.
        limits: Of the child.
        cache: The folder of the compiled code of the operator's own components.
        catalog: The catalog that is packaged with it, which nobody read yet; empty if there is none.

    Returns:
        The JSON that `examine` describes, at most `MAX_INSPECTION_BYTES` of it.

    Raises:
        ComponentError: It is not usable, failed, or passed the limit that is named.
        InspectionError: This machine lacks the memory for it.
    """
    order = {"kind": "inspect", "wasm": str(wasm.resolve()), "gateway": str(gateway.resolve())}
    return _run(order, catalog, limits or SandboxLimits(), cache, MAX_INSPECTION_BYTES)


def ask_tools(wasm: Path, limits: SandboxLimits | None = None, path: str = "/") -> bytes:
    """Send a GET request to a component, and return the body of its answer.

    Args:
        wasm: The component.
        limits: Of the child.
        path: What to ask; a tool component tells its tools at `/`.

    Raises:
        ComponentError: It failed, answered with another status than 200, or passed the limit that is named.
        InspectionError: This machine lacks the memory for it.
    """
    order = {"kind": "http", "wasm": str(wasm.resolve()), "method": "GET", "path": path, "own": False}
    return _run(order, b"", limits or SandboxLimits(), None)


def check_policy(
    gateway: Path, request: bytes, limits: SandboxLimits | None = None, cache: Path | None = None
) -> bytes:
    """Evaluate a policy in the gateway component. Returns the body of its answer to `POST /__policy`.

    Args:
        gateway: The gateway component.
        request: JSON `{"policy", "data", "inputs": […]}`.
        limits: Of the child.
        cache: The folder of its compiled code.

    Raises:
        ComponentError, InspectionError: As for `inspect_component`.
    """
    order = {
        "kind": "http",
        "wasm": str(gateway.resolve()),
        "method": "POST",
        "path": "/__policy",
        "own": True,
    }
    order["variables"] = {"gateway_config": '{"policyCheck":true}'}
    return _run(order, request, limits or SandboxLimits(), cache)


def run_command(wasm: Path, stdin: bytes, limits: SandboxLimits | None = None) -> bytes:
    """Run one of the operator's own `wasi:cli/command` components with `stdin`; gives its standard output.

    Raises:
        ComponentError: It ended with another status than 0, trapped, or passed a limit.
        InspectionError: This machine lacks the memory for it.
    """
    return _run({"kind": "command", "wasm": str(wasm.resolve())}, stdin, limits or SandboxLimits(), None)


def _run(
    order: dict[str, Any], body: bytes, limits: SandboxLimits, cache: Path | None, longest: int = 0
) -> bytes:
    order |= {"cache": str(cache or cache_directory()), "limits": asdict(limits)}
    head = json.dumps(order).encode() + b"\n"
    try:
        child = _start()
    except OSError as error:
        raise InspectionError(f"the sandbox cannot be started: {error.strerror or error}") from error
    try:
        answer, errors = _exchange(child, head + body, limits, longest or limits.output)
        status = child.wait()
    finally:
        # The child leads its own session, so this also kills any process that it has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    return _read(answer, errors, status, limits)


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "ftl_operator.host.sandbox.parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8", "RAYON_NUM_THREADS": str(COMPILER_THREADS), "MALLOC_ARENA_MAX": "2"},
        cwd="/",
        start_new_session=True,
    )


def _exchange(
    child: "subprocess.Popen[bytes]", order: bytes, limits: SandboxLimits, longest: int
) -> tuple[bytes, bytes]:
    """Write to the child, and read its output and errors. Raises ComponentError if it exceeds a limit."""
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
                text = f"the component passed its time limit of {limits.time:g} s, compiling included"
                busy = _seconds_computed(child.pid) >= BUSY * limits.time
                raise (ComponentError if busy else SlowComponentError)(text, reason=Reason.COMPONENT_FAILED)
            for key, _ in selector.select(left):
                if key.fileobj is child.stdin:
                    rest = _feed(child.stdin, rest)
                    done = not rest
                else:
                    done = not _collect(key.fd, collected[key.fd], longest)
                if done:
                    selector.unregister(key.fileobj)
                if done and key.fileobj is child.stdin:
                    child.stdin.close()
    return bytes(collected[child.stdout.fileno()]), bytes(collected[child.stderr.fileno()])


def _seconds_computed(pid: int) -> float:
    """The processor time of a process with all its threads (proc(5), `stat`)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _feed(pipe: IO[bytes], rest: memoryview) -> memoryview:
    try:
        rest = rest[os.write(pipe.fileno(), rest) :]
    except BrokenPipeError:
        rest = rest[:0]
    return rest


def _collect(fd: int, buffer: bytearray, longest: int) -> bool:
    chunk = os.read(fd, 1 << 16)
    buffer += chunk
    if len(buffer) > longest + _HEAD:
        raise _failed(f"the component's output is longer than {longest} bytes")
    return bool(chunk)


def _read(answer: bytes, errors: bytes, status: int, limits: SandboxLimits) -> bytes:
    head, newline, body = answer.partition(b"\n")
    if newline:
        told: dict[str, Any] = json.loads(head)
        if told["failure"] is None:
            return body
        if told["reason"] == Reason.INSPECTION_UNAVAILABLE:
            raise InspectionError(told["failure"])
        error = SlowComponentError if told["slow"] else ComponentError
        raise error(told["failure"], reason=Reason(told["reason"]))
    if status == -signal.SIGXCPU:
        raise _failed("the component used up its processor time")
    if status == -signal.SIGKILL:
        # Its own limits end it differently, so the kernel has killed it for lack of memory in the pod or
        # machine.
        raise InspectionError("the sandbox was killed, most likely because this machine has no memory left")
    if b"MemoryError" in errors or b"memory allocation" in errors or b"Cannot allocate memory" in errors:
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
