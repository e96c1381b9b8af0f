"""Inspects a component in the sandbox's child: bytes, answer, and the gateway's checks of schemas."""

import json
import mmap
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import component as wc

from ftl_operator.component import spin_interfaces
from ftl_operator.component.binary import Binary, Kind, read_binary
from ftl_operator.component.tool import (
    MAX_WARNING,
    MAX_WARNINGS,
    SchemaVerdict,
    Tool,
    judge_schemas,
    parse_tools,
)
from ftl_operator.component.tool_schema import refusal
from ftl_operator.errors import ComponentError, Reason
from ftl_operator.host.engine.engine import Code, Engine
from ftl_operator.host.http.messages import Request
from ftl_operator.host.sandbox.child import Runner, SandboxError
from ftl_operator.host.sandbox.componentize import COMPONENTIZER

# Without the release candidates before 0.2.0, which are different interfaces with similar names.
_ASKABLE = re.compile(r"wasi:http/incoming-handler@0\.2\.\d+")
_CATALOG = "the catalog that is packaged with it"
_DIFFERS = f"its tools are those that it tells when it is asked, and {_CATALOG} differs"
_SCHEMA_PATH = "/__schemas"
_SCHEMA_CONFIG = '{"schemaCheck":true}'


def examine(wasm: Path, gateway: Path, runner: Runner, packaged: bytes = b"") -> bytes:
    """Inspect a component and list its tools.

    Args:
        wasm: The file of the component or core module.
        gateway: The gateway component, whose engine checks the schemas.
        runner: Runs components.
        packaged: The catalog that is packaged with it; empty if there is none. It is used for a component
            that
            cannot be asked; a component's own answer takes precedence.

    Returns:
        JSON `{"kind", "imports", "exports", "needs", "tools": [record…] or null, "dynamicReason",
        "catalogNote", "packaged"}`: the
        binary as `Binary` has it, the oldest Spin that runs it or an empty text, and records as
        `Tool.record` gives them.

    Raises:
        ComponentError: It does not serve HTTP on any Spin, or describes no tools.
        SandboxError: It failed or exceeded a limit.
    """
    binary = _read(wasm)
    if not binary.world:
        text = "it is a core module without the type of its world; build it as a component (wasm32-wasip2)"
        raise ComponentError(text)
    if not binary.serves_http:
        shown = ", ".join(name[:100] for name in binary.exports[:5]) or "nothing"
        raise ComponentError(f"it does not export wasi:http/incoming-handler; it exports {shown}")
    component, imports = wasm, binary.imports
    if binary.kind is Kind.CORE_MODULE:
        component = _componentized(wasm, runner)
        made = _read(component)
        imports, exports = made.imports, made.exports
    else:
        exports = binary.exports
    needs = _needed_spin(component, imports, exports)
    found: Sequence[Tool] | None = None
    reason, note = _why_not_asked(binary, exports), ""
    is_packaged = bool(reason and packaged)
    if not reason:
        found = parse_tools(runner.http(component, Request("GET", "/"), {}, own=False))
        note = _difference(found, packaged) if packaged else ""
    elif is_packaged:
        found = parse_tools(packaged, _CATALOG)
        reason, note = "", f"its tools are those of the catalog that is packaged with it: {reason}"
    tools: list[Any] | None = None
    if found is not None:
        tools = [tool.record() for tool in judge_schemas(found, _Judge(gateway, runner).judge)]
    document = {
        "kind": binary.kind,
        "imports": binary.imports,
        "exports": binary.exports,
        "needs": needs,
        "tools": tools,
        "dynamicReason": reason,
        "catalogNote": note,
        "packaged": is_packaged,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _difference(asked: Sequence[Tool], packaged: bytes) -> str:
    """The note about a packaged catalog that differs from the component's own answer."""
    try:
        told = parse_tools(packaged, _CATALOG)
    except ComponentError as error:
        return f"its tools are those that it tells when it is asked: {error.message}"
    names = [{tool.name for tool in tools} for tools in (asked, told)]
    if odd := sorted(names[0] ^ names[1]):
        shown = ", ".join(repr(name[:64]) for name in odd[:5])
        return f"{_DIFFERS}; only one of the two has {shown}"
    if differing := [tool.name for tool in asked if tool not in told]:
        shown = ", ".join(repr(name[:64]) for name in differing[:5])
        return f"{_DIFFERS}; they describe {shown} differently"
    return ""


def _why_not_asked(binary: Binary, exports: Iterable[str]) -> str:
    if binary.kind is Kind.WASI_0_3:
        return "it is built for WASI 0.3, which the inspection sandbox does not run"
    if not any(_ASKABLE.fullmatch(name) for name in exports):
        return "it is built for an older interface than wasi:http 0.2.0, which the sandbox does not have"
    return ""


def _read(path: Path) -> Binary:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return read_binary(b"")
        # Not closed explicitly: an error may still hold a view of it. It is freed with the last view.
        return read_binary(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _componentized(core: Path, runner: Runner) -> Path:
    """Convert a core module to a component as Spin does, in memory."""
    try:
        made = runner.command(COMPONENTIZER, core.read_bytes())
    except SandboxError as error:
        text = f"the core module cannot become a component: {error}"
        raise SandboxError(text, error.reason, slow=error.slow) from None
    handle = os.memfd_create("component")
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(made)
    return Path(f"/proc/self/fd/{handle}")


def _needed_spin(component: Path, imports: Sequence[str], exports: Sequence[str]) -> str:
    """The oldest Spin that runs a component, or an empty text. Imports with types only need nothing.

    Raises:
        ComponentError: No Spin runs it.
    """
    missing = [name for name in imports if not spin_interfaces.spins_with(name)]
    if missing:
        missing = _with_functions(component, missing)
    needed = [name for name in imports if name in missing or spin_interfaces.spins_with(name)]
    if why := spin_interfaces.refusal(needed, exports):
        raise ComponentError(why, reason=Reason.UNSUPPORTED_IMPORT)
    return spin_interfaces.needed_spin(needed, exports)


def _with_functions(component: Path, names: Sequence[str]) -> list[str]:
    """The imports that need a function or a resource of the host; all imports if that is unknown."""
    engine = Engine(Code.ONCE)
    try:
        types = engine.load(component).type.imports(engine.raw)
    except wasmtime.WasmtimeError:
        return list(names)
    return [name for name in names if name not in types or _asks_the_host(types[name].ty, engine)]


def _asks_the_host(item: wc.ComponentItem, engine: Engine) -> bool:
    if isinstance(item, wc.ComponentInstanceType):
        return any(_asks_the_host(inner.ty, engine) for inner in item.exports(engine.raw).values())
    return isinstance(item, wc.FuncType | wc.ResourceType | wc.ComponentType)


class _Judge:
    """Checks schemas with the gateway's engine, which also checks every call."""

    def __init__(self, gateway: Path, runner: Runner) -> None:
        self._gateway = gateway
        self._runner = runner
        self._end = time.monotonic() + 2 * runner.limits.call_time

    def judge(self, schemas: Sequence[Mapping[str, Any]]) -> list[SchemaVerdict]:
        """Check each schema. One that the engine cannot process does not affect the others."""
        refused = [refusal(schema) for schema in schemas]
        usable = [schema for schema, why in zip(schemas, refused, strict=True) if why is None]
        verdicts = iter(self._engine(usable))
        return [next(verdicts) if why is None else SchemaVerdict(why) for why in refused]

    def _engine(self, schemas: Sequence[Mapping[str, Any]]) -> list[SchemaVerdict]:
        if not schemas:
            return []
        if time.monotonic() > self._end:
            return [SchemaVerdict("the gateway did not check it in time")] * len(schemas)
        try:
            return self._ask(schemas)
        except (SandboxError, ValueError, LookupError, TypeError) as error:
            if len(schemas) == 1:
                return [SchemaVerdict(f"the gateway cannot judge it: {str(error)[:MAX_WARNING]}")]
        half = len(schemas) // 2
        return [*self._engine(schemas[:half]), *self._engine(schemas[half:])]

    def _ask(self, schemas: Sequence[Mapping[str, Any]]) -> list[SchemaVerdict]:
        request = Request("POST", _SCHEMA_PATH, body=json.dumps({"schemas": schemas}).encode())
        answer = self._runner.http(self._gateway, request, {"gateway_config": _SCHEMA_CONFIG}, own=True)
        results = json.loads(answer)["results"]
        if len(results) != len(schemas):
            raise ValueError("it gives another number of verdicts than schemas")
        return [_verdict(result) for result in results]


def _verdict(result: Mapping[str, Any]) -> SchemaVerdict:
    warnings = [str(text)[:MAX_WARNING] for text in result.get("warnings") or ()]
    if len(warnings) > MAX_WARNINGS:
        warnings = [*warnings[:MAX_WARNINGS], f"and {len(warnings) - MAX_WARNINGS} more"]
    return SchemaVerdict(str(result["error"] or "")[:MAX_WARNING], tuple(warnings), result.get("schema"))
