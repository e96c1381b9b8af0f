"""The child's side of the sandbox: drops its privileges, runs one order, writes the answer.

Everything that reads untrusted bytes happens here: a component's sections, its code, its tools' metadata and
schemas.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import component as wc

from ftl_operator.errors import ComponentError, Reason
from ftl_operator.host.app import HostApp
from ftl_operator.host.component import cause_of
from ftl_operator.host.engine.engine import Code, Engine, digest_of, ticks
from ftl_operator.host.http.messages import Request
from ftl_operator.host.limits import BUSY, COMPILER_THREADS, Limits, SandboxLimits, limit_store
from ftl_operator.host.streams.pipe import PipeError

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_KEPT_LINES = 12
_TOLD = 1500
"""How many characters of a component's output a message shows."""


class SandboxError(Exception):
    """Why there is no answer.

    Args:
        text: For the component's author.
        reason: The documented reason.
        slow: Whether it exceeded its time without computing for most of it, so that a busy machine may be the
            cause.
    """

    def __init__(self, text: str, reason: Reason = Reason.COMPONENT_FAILED, *, slow: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.slow = slow


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs components in this process.

    Args:
        limits: The limits of each run.
        cache: The folder for compiled code. Only the operator's own components are stored there: others are
            inspected once, and their code would only fill the disk.
    """

    limits: SandboxLimits
    cache: Path

    def http(self, wasm: Path, request: Request, variables: Mapping[str, str], *, own: bool) -> bytes:
        """Send one request to a component, and return the body of its answer.

        Args:
            wasm: The component.
            request: The request.
            variables: The application's variables, all of which the component sees.
            own: Whether it is a component of the operator's.

        Raises:
            SandboxError: It cannot be loaded, fails, exceeds a limit, or answers with a status other than
                200.
        """
        printed: deque[str] = deque(maxlen=_KEPT_LINES)
        app = HostApp(
            _document(digest_of(wasm), variables),
            lambda _digest: wasm,
            limits=Limits(
                time=self.limits.call_time,
                memory=self.limits.memory,
                request_body=max(len(request.body), 1 << 20),
                depth=0,
            ),
            log=lambda _component, line: printed.append(line),
            code=Code.ONCE,
            cache=self.cache,
            keep_code=own,
        )
        try:
            return _answer(app, request, printed, self.limits)
        finally:
            app.close()

    def command(self, wasm: Path, stdin: bytes) -> bytes:
        """Run one of the operator's own commands: no arguments, environment, folders or network.

        Raises:
            SandboxError: It fails or exceeds a limit.
        """
        return _command(wasm, stdin, self.limits, self.cache)


def main() -> None:
    """Read an order from standard input, write a line of JSON and the answer's bytes to standard output."""
    order = json.loads(sys.stdin.buffer.readline())
    limits = SandboxLimits(**order["limits"])
    confine(limits)
    body = sys.stdin.buffer.read()
    head: dict[str, Any] = {"failure": None}
    answer = b""
    try:
        answer = _do(order, body, Runner(limits, Path(order["cache"])))
    except SandboxError as error:
        head = {"failure": str(error), "reason": error.reason, "slow": error.slow}
    except ComponentError as error:
        head = {"failure": error.message, "reason": error.reason, "slow": False}
    except OSError as error:
        # ENOMEM comes from the child's own limit; any other error is a problem of this machine.
        if error.errno == errno.ENOMEM:
            raise MemoryError from None
        head = {"failure": str(error), "reason": Reason.INSPECTION_UNAVAILABLE, "slow": False}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + answer)
    sys.stdout.buffer.flush()
    # Exit at once, because the threads of a guest that does not end would block the interpreter's exit.
    os._exit(0)


def confine(limits: SandboxLimits) -> None:
    """Limit this process, and disconnect it from the network if the kernel allows that to its user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cpu = int(limits.time * COMPILER_THREADS) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    # DATA counts all private writable pages, touched or not: the sum of all memories and tables. Linear
    # memories reserve address space that takes no memory, so the limit AS is only a coarse one.
    resource.setrlimit(resource.RLIMIT_DATA, (limits.process_memory, limits.process_memory))
    resource.setrlimit(resource.RLIMIT_AS, (limits.process_memory + (256 << 30),) * 2)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _do(order: Mapping[str, Any], body: bytes, runner: Runner) -> bytes:
    wasm = Path(order["wasm"])
    match order["kind"]:
        case "command":
            return runner.command(wasm, body)
        case "inspect":
            # Only here, for the other orders need none of it.
            from ftl_operator.host.sandbox.examine import examine

            return examine(wasm, Path(order["gateway"]), runner, body)
    request = Request(order["method"], order["path"], body=body)
    return runner.http(wasm, request, order.get("variables", {}), own=order["own"])


class _Call:
    """One call of a component, timed.

    Args:
        seconds: What it may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._wall, self._computing = time.monotonic(), time.process_time()
        self._peak = _peak()

    def was_slow(self) -> bool:
        """Whether its time is over and it did not compute for most of it."""
        late = time.monotonic() - self._wall >= self._seconds
        return late and time.process_time() - self._computing < BUSY * self._seconds

    def took_memory(self, limit: int) -> bool:
        """Whether it took the process's memory to a new peak, near what the component may use."""
        return _peak() > max(self._peak, limit * 3 // 4)


def _peak() -> int:
    """The most memory that this process has had, in bytes.

    Linux hands `ru_maxrss` on over exec, so it has the parent's peak too; `VmHWM` is this process's own.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) << 10
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _answer(app: HostApp, request: Request, printed: "deque[str]", limits: SandboxLimits) -> bytes:
    try:
        app.prepare()
    except wasmtime.WasmtimeError as error:
        raise SandboxError(f"the component cannot be loaded: {error}") from None
    except Exception as error:  # noqa: BLE001 - reported to the parent, which knows the component
        raise SandboxError(str(error)) from None
    call = _Call(limits.call_time)
    response = app.handle(request)
    answer = bytearray()
    try:
        for chunk in response.body:
            answer += chunk
            if len(answer) > limits.output:
                raise SandboxError(f"the component's answer is longer than {limits.output} bytes")
    except PipeError as error:
        text = f"the component's answer is not whole: {error}"
        raise SandboxError(_with_output(text, printed, limits, call), slow=call.was_slow()) from None
    if response.status != 200:
        if response.failure:
            raise SandboxError(_with_output(response.failure, printed, limits, call), slow=call.was_slow())
        text = bytes(answer[:300]).decode(errors="replace")
        cause = f"the component answered with status {response.status}: {text}"
        raise SandboxError(_with_output(cause, printed, limits, call))
    return bytes(answer)


def _with_output(cause: str, printed: "deque[str]", limits: SandboxLimits, call: _Call) -> str:
    text = "\n".join(line for line in printed if line != cause)[-_TOLD:]
    signs = ("memory allocation of", "MemoryError", "Cannot allocate memory", "resource limit exceeded")
    if call.took_memory(limits.memory) or any(sign in text + cause for sign in signs):
        cause += f" (its memory limit is {limits.memory >> 20} MiB)"
    return f"{cause}; it printed:\n{text}" if text else cause


def _document(digest: str, variables: Mapping[str, str]) -> dict[str, Any]:
    return {
        "spin_lock_version": 0,
        "variables": {name: {"default": value} for name, value in variables.items()},
        "triggers": [
            {"id": "http", "trigger_type": "http", "trigger_config": {"component": "tool", "route": "/..."}}
        ],
        "components": [
            {
                "id": "tool",
                "source": {"content_type": "application/wasm", "digest": digest},
                "config": {name: f"{{{{ {name} }}}}" for name in variables},
            }
        ],
    }


def _command(wasm: Path, stdin: bytes, limits: SandboxLimits, cache: Path) -> bytes:
    engine = Engine(cache=cache)
    try:
        component = engine.load(wasm, digest_of(wasm))
    except wasmtime.WasmtimeError as error:
        raise SandboxError(f"the component cannot be loaded: {error}") from None
    index = _run_index(component, engine)
    linker = wc.Linker(engine.raw)
    linker.add_wasip2()
    output, errors = _Collector(limits.output), _Collector(1 << 16)
    config = wasmtime.WasiConfig()
    config.stdout_custom = output.write
    config.stderr_custom = errors.write
    with contextlib.ExitStack() as stack:
        # The C API takes standard input from a file; one in memory has a path and needs no writable disk.
        memory = stack.enter_context(open(os.memfd_create("stdin"), "wb", buffering=0))  # noqa: PTH123
        memory.write(stdin)
        config.stdin_file = f"/proc/self/fd/{memory.fileno()}"
        store = wasmtime.Store(engine.raw)
        limit_store(store, limits.memory)
        store.set_epoch_deadline(ticks(limits.call_time))
        store.set_wasi(config)
        deadline = time.monotonic() + limits.call_time
        call = _Call(limits.call_time)
        try:
            instance = linker.instantiate(store, component)
            succeeded = _run_export(instance, store, index)
        except wasmtime.ExitTrap as exit_:
            succeeded = exit_.code == 0
        except wasmtime.WasmtimeError as error:
            late = time.monotonic() >= deadline
            cause = "passed its time limit" if late else f"trapped: {cause_of(str(error))}"
            told = _with_output(f"the component {cause}", deque([errors.text]), limits, call)
            raise SandboxError(told, slow=call.was_slow()) from None
    if output.full:
        raise SandboxError(f"the component's output is longer than {limits.output} bytes")
    if not succeeded:
        raise SandboxError(_with_output("the component failed", deque([errors.text]), limits, call))
    return bytes(output.data)


def _run_index(component: wc.Component, engine: Engine) -> wc.ExportIndex:
    names = component.type.exports(engine.raw)
    export = next((name for name in names if name.partition("@")[0] == "wasi:cli/run"), None)
    index = component.get_export_index("run", component.get_export_index(export)) if export else None
    if index is None:
        raise SandboxError(f"the component does not export wasi:cli/run (it exports {', '.join(names)})")
    return index


def _run_export(instance: wc.Instance, store: wasmtime.Store, index: wc.ExportIndex) -> bool:
    function = instance.get_func(store, index)
    result = function(store) if function is not None else None
    return not (isinstance(result, wc.Variant) and result.tag == "err")


class _Collector:
    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self.limit = limit
        self.full = False

    def write(self, data: bytes) -> int:
        if len(self.data) + len(data) > self.limit:
            self.full = True
        else:
            self.data += data
        return len(data)

    @property
    def text(self) -> str:
        return self.data.decode(errors="replace")


__all__ = ["Runner", "SandboxError", "main"]
