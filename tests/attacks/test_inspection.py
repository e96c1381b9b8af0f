"""Components that harm who inspects them, and YAML that harms who reads it: refused by limits, not by luck.

Every row that runs a component runs the whole inspection: the parent, the child, the gateway's engine.
"""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from ftl_operator.api.tools import ToolSpec
from ftl_operator.cli.environment import GATEWAY_WASM
from ftl_operator.cli.yaml_documents import read_documents
from ftl_operator.component.binary import MAX_ITEMS, MAX_SECTIONS
from ftl_operator.component.inspector import Inspector
from ftl_operator.component.tool import MAX_DEPTH, MAX_METADATA_BYTES, MAX_SUBSCHEMAS, MAX_TOOLS, Component
from ftl_operator.errors import ComponentError
from ftl_operator.host.engine.engine import Code, Engine
from ftl_operator.host.limits import MAX_MEMORIES, SandboxLimits
from ftl_operator.host.sandbox.parent import inspect_component
from ftl_operator.oci.descriptor import Descriptor, LocalArtifact
from ftl_operator.oci.reference import Digest
from ftl_operator.pipeline.gateway.catalog import served_tools
from tests.attacks.table import Attack, check_refused, check_twin
from tests.support.hostile import HOSTILE, answering

OBJECT = {"type": "object"}
TOOL = {"name": "good", "inputSchema": OBJECT}
GOOD = json.dumps([TOOL]).encode()
OWN_BYTES = 64 << 20
"""More than the compiled code of the gateway has, which is kept, and less than that of what attacks."""


def inspected(raw: bytes, seconds: float = 120, catalog: str = "") -> Component:
    """The result of inspecting a component of these bytes and this packaged catalog, with this time limit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tool.wasm"
        path.write_bytes(raw)
        layer = Descriptor("application/wasm", Digest("sha256:" + "0" * 64), len(raw))
        source = LocalArtifact(path, layer, catalog)
        limits = SandboxLimits(time=270, call_time=seconds)

        def examine(wasm: Path, packaged: bytes) -> bytes:
            return inspect_component(wasm, GATEWAY_WASM, limits, catalog=packaged)

        inspector = Inspector(Path(folder), examine, "1")
        return inspector.inspect(source, "tool", lambda *_: path)


def inspected_within(given: tuple[bytes, float]) -> Component:
    return inspected(*given)


def served(tools: Any) -> list[str]:
    """The names of the tools that an app serves of a component with this metadata."""
    raw = tools if isinstance(tools, bytes) else json.dumps(tools).encode()
    spec = ToolSpec.model_validate({"name": "tool", "image": "r.io/tool:1"})
    return [tool.name for tool in served_tools(spec, "spec.tools[0]", inspected(answering(raw)))]


def packaged(catalog: str) -> list[str]:
    """The names of the tools that an app serves of a component that cannot be asked, with this catalog."""
    raw = wat2wasm('(component (instance $h) (export "wasi:http/handler@0.3.0" (instance $h)))')
    spec = ToolSpec.model_validate({"name": "tool", "image": "r.io/tool:1"})
    component = inspected(bytes(raw), catalog=catalog)
    return [tool.name for tool in served_tools(spec, "spec.tools[0]", component)]


def with_extra(definition: str, count: int) -> bytes:
    """A good component with so many instances of a further module."""
    instances = "(core instance (instantiate $x))" * count
    return answering(GOOD, extra=f"(core module $x {definition}) {instances}")


def with_sections(count: int) -> bytes:
    """A good component with so many empty custom sections behind it."""
    return answering(GOOD) + b"\0\1\0" * count


def with_exports(count: int) -> bytes:
    """A core module's world with one name exported again and again."""
    body = b"".join((_leb(count), b"\1a\0\0" * count))
    return b"\0asm\1\0\0\0" + b"\7" + _leb(len(body)) + body


def _leb(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def kept_code(raw: bytes) -> int:
    """How many bytes of compiled code an inspection leaves on the disk, whether it fails or not."""
    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder) / "tool.wasm", Path(folder) / "compiled"
        path.write_bytes(raw)
        with contextlib.suppress(ComponentError):
            inspect_component(path, GATEWAY_WASM, cache=cache)
        return sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())


def kept_by_an_engine(components: int) -> int:
    """How many compiled components an engine keeps that may keep the code of about two."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "compiled"
        for index in range(components):
            path = Path(folder) / f"{index}.wasm"
            path.write_bytes(bytes(wat2wasm(f'(component (core module (func (export "f{index}"))))')))
            Engine(Code.FAST, cache, max_bytes=100_000).load(path)
        return len([file for file in cache.rglob("*") if file.is_file()])


def schema_of(parts: int) -> dict[str, Any]:
    return {**OBJECT, "allOf": [{} for _ in range(parts)]}


def anchors(count: int, missing: int) -> dict[str, Any]:
    """A schema with so many references to anchors, of which the last ones are not there."""
    there = {f"a{n}": {"$anchor": f"a{n}"} for n in range(count - missing)}
    return {**OBJECT, "$defs": there, "allOf": [{"$ref": f"#a{n}"} for n in range(count)]}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = dict(OBJECT)
    for _ in range(depth):
        schema = {**OBJECT, "properties": {"a": schema}}
    return schema


def yaml(text: str) -> list[dict[str, Any]]:
    return read_documents(text.encode(), "app.yaml")


def aliases(levels: int, width: int, form: str = "[{}]") -> str:
    """YAML whose last value has `width` times as many parts as the one before, and so on."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} {form.format(inner)}")
    return "\n".join(lines)


COUNTS = "resource limit exceeded|count.* exceeds limit"
MEMORY = "Cannot allocate memory|memory limit"

ROWS = [
    Attack("H6 four memories of 500 MiB", inspected, with_extra("(memory 8000)", 4), MEMORY,
           with_extra("(memory 800)", 4)),
    Attack("H6 two memories within the limit of each", inspected, with_extra("(memory 8192)", 2), MEMORY,
           with_extra("(memory 3200)", 2)),
    Attack("H6 one memory over the limit", inspected, with_extra("(memory 8193)", 1), "exceeds memory limits",
           with_extra("(memory 4096)", 1)),
    Attack("H6 a thousand memories", inspected, with_extra("(memory 1)", 1000), COUNTS,
           with_extra("(memory 1)", MAX_MEMORIES - 8)),
    Attack("H6 eight tables of 40 M", inspected, with_extra("(table 40000000 funcref)", 8),
           "exceeds table limits", with_extra("(table 40000 funcref)", 8)),
    Attack("H6 tables of a million each", inspected, with_extra("(table 1000000 funcref)", 100), COUNTS,
           with_extra("(table 10000 funcref)", 40)),
    Attack("H6 instances without memory", inspected, with_extra('(func (export "f"))', 1500), COUNTS,
           with_extra('(func (export "f"))', 100)),
    Attack("H6 memory that grows without end", inspected, HOSTILE["allocate"], MEMORY, answering(GOOD)),
    Attack("H8 eight megabytes of empty sections", inspected, with_sections((8 << 20) // 3),
           f"more than {MAX_SECTIONS} sections", with_sections(1000)),
    Attack("H8 one export again and again", inspected, with_exports(2_000_000), f"more than {MAX_ITEMS}",
           answering(GOOD)),
    Attack("H8 a schema of many parts", served, [{"name": "bad", "inputSchema": schema_of(20_000)}],
           f"more than {MAX_SUBSCHEMAS}.*exclude", [{"name": "good", "inputSchema": schema_of(50)}]),
    Attack("H8 60 KB of types that are none", served,
           [{"name": "bad", "inputSchema": {**OBJECT, "allOf": [{"type": [{"a": n} for n in range(4000)]}]}}],
           "no JSON Schema.*exclude",
           [{"name": "good", "inputSchema": {**OBJECT, "allOf": [{"type": ["object", "null"]}]}}]),
    Attack("H8 references to anchors that are not there", served,
           [{"name": "bad", "inputSchema": anchors(900, 1)}], "not inside it.*exclude",
           [{"name": "good", "inputSchema": anchors(900, 0)}]),
    Attack("H8 schemas of many parts together", served,
           [{"name": f"t{n}", "inputSchema": schema_of(4000)} for n in range(14)],
           "more than 50000 objects and arrays.*exclude",
           [{"name": f"t{n}", "inputSchema": schema_of(400)} for n in range(14)]),
    Attack("H8 a schema of 70 KB", served, [{**TOOL, "inputSchema": {**OBJECT, "title": "x" * 70_000}}],
           "more than 65536.*exclude", [{**TOOL, "inputSchema": {**OBJECT, "title": "x" * 60_000}}]),
    Attack("H8 a schema that nests", served, [{**TOOL, "inputSchema": nested(60)}],
           f"nests deeper than {MAX_DEPTH}.*exclude", [{**TOOL, "inputSchema": nested(20)}]),
    Attack("H8 JSON that nests without end", served, b"[" * 100_000, "not a JSON array", GOOD),
    Attack("H8 a number without end", served, b"[" + b"9" * 100_000 + b"]", "not a JSON array", GOOD),
    Attack("H8 a name of a megabyte", served, [{**TOOL, "name": "x" * (1 << 20)}],
           "more than 128: 'x{40}'….*exclude", [{**TOOL, "name": "x" * 50}]),
    Attack("H8 five megabytes of metadata", served, b"[" + b" " * MAX_METADATA_BYTES + b"]",
           "longer than|more than", [{**TOOL, "description": "x" * 16_000}] ),
    Attack("H8 thousands of tools", served, [{}] * 5000, f"more than {MAX_TOOLS}",
           [{**TOOL, "name": f"t{index}"} for index in range(MAX_TOOLS)]),
    Attack("H8 a packaged catalog that nests without end", packaged, "[" * 100_000, "not a JSON array",
           GOOD.decode(), lambda names: names == ["good"]),
    Attack("H8 a packaged catalog of thousands of tools", packaged, json.dumps([{}] * 5000),
           f"more than {MAX_TOOLS}", json.dumps([{**TOOL, "name": f"t{index}"} for index in range(100)])),
    Attack("H8 a packaged catalog with a schema of many parts", packaged,
           json.dumps([{"name": "bad", "inputSchema": schema_of(20_000)}]), f"more than {MAX_SUBSCHEMAS}",
           json.dumps([{"name": "good", "inputSchema": schema_of(1000)}])),
    Attack("H8 a packaged catalog with half a character", packaged,
           '[{"name": "bad", "inputSchema": {"type": "object"}, "description": "\ud800"}]', "not Unicode",
           '[{"name": "good", "inputSchema": {"type": "object"}, "description": "\\u00e9"}]'),
    Attack("H8 an answer that does not end", inspected_within, (HOSTILE["loop"], 2.0),
           "passed its time limit", (answering(GOOD), 120.0)),
    Attack("M7 code of a component that fails", kept_code, with_extra("(memory 8000)", 4),
           lambda size: size < OWN_BYTES, answering(GOOD), lambda size: 0 < size < OWN_BYTES),
    Attack("M7 code of many components", kept_by_an_engine, 20, lambda count: count < 10, 1,
           lambda count: count == 1),
    Attack("YAML alias bomb", yaml, aliases(10, 10), "aliases stand for more than", aliases(3, 10)),
    Attack("YAML alias bomb in few bytes", yaml, aliases(30, 2), "aliases stand for more than",
           aliases(10, 2)),
    Attack("YAML merge bomb", yaml, aliases(30, 2, "{{<<: [{}]}}"), "aliases stand for more than",
           aliases(5, 2, "{{<<: [{}]}}")),
    Attack("YAML value within itself", yaml, "a: &a [*a]", "within itself", "a: &a [1]\nb: *a"),
    Attack("YAML that nests by aliases", yaml, aliases(300, 1), "nest deeper than", aliases(50, 1)),
    *(Attack(f"YAML {name}", yaml, f"a: {attack}", "is not YAML", f"a: {twin}") for name, attack, twin in (
        ("truth that is none", "!!bool maybe", "!!bool yes"),
        ("number that is empty", "!!int ''", "!!int '1'"),
        ("fraction that is empty", "!!float ''", "!!float '1'"),
        ("fraction that no number holds", "1:" * 2000 + "1.5", "1:1.5"),
        ("time that is none", "!!timestamp x", "!!timestamp 2026-01-01"),
        ("number that no text holds", "0x" + "f" * 10_000, "0xffffffffffffffff"),
        ("half of a character", r'"\ud800"', r'"\u00fc"'),
    )),
    Attack("YAML document that is a long list", yaml, "[" + "1, " * 100_000 + "1]",
           r"holds list \[1, 1, \.\.\.\] beside", "a: [" + "1, " * 1000 + "1]"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack_is_refused(row: Attack) -> None:
    check_refused(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_legitimate_twin_passes(row: Attack) -> None:
    check_twin(row)


def test_the_operators_own_memory_does_not_hide_the_components() -> None:
    ballast = b"x" * (600 << 20)
    with pytest.raises(ComponentError, match=MEMORY):
        inspected(HOSTILE["allocate"])
    assert ballast
