"""The reader of binaries: on files of wasmtime's own assembler, on real tools, and on hostile bytes."""

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasmtime import wat2wasm

from ftl_operator.component.binary import Binary, Kind, read_binary
from ftl_operator.errors import ComponentError

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"

COMPONENT = bytes(
    wat2wasm("""
    (component
      (type $r (instance (export "r" (type (sub resource)))))
      (import "wasi:http/types@0.2.4" (instance $types (type $r)))
      (import "fermyon:spin/variables@2.0.0" (instance))
      (import "count" (func $count (result u32)))
      (import "blob" (type $blob (sub resource)))
      (import "same" (type (eq $blob)))
      (import "engine" (core module))
      (import "plug" (component))
      (component $inner (import "wasi:inner/only@0.3.0" (instance)))
      (core module (func (export "never-listed")))
      (instance $handler)
      (export "wasi:http/incoming-handler@0.2.4" (instance $handler))
      (export "counter" (func $count) (func (result u32))))
    """)
)
CORE = bytes(
    wat2wasm("""
    (module
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi:http/types@0.2.0" "[constructor]fields" (func (result i32)))
      (import "wasi:http/types@0.2.0" "[method]fields.get" (func (param i32 i32 i32 i32)))
      (import "env" "memory" (memory 1 2))
      (import "env" "table" (table 0 funcref))
      (import "env" "global" (global (mut i64)))
      (func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32))
      (func (export "cabi_post_wasi:http/incoming-handler@0.2.0#handle") (param i32))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    """)
)


def custom(name: bytes, content: bytes = b"") -> bytes:
    body = leb(len(name)) + name + content
    return b"\0" + leb(len(body)) + body


def leb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def section(identifier: int, body: bytes) -> bytes:
    return bytes([identifier]) + leb(len(body)) + body


COMPONENT_HEADER = COMPONENT[:8]
CORE_HEADER = CORE[:8]


def test_reads_the_outermost_components_imports_and_exports() -> None:
    assert read_binary(COMPONENT) == Binary(
        Kind.WASI_0_2,
        ("wasi:http/types@0.2.4", "fermyon:spin/variables@2.0.0", "count", "blob", "same", "engine", "plug"),
        ("wasi:http/incoming-handler@0.2.4", "counter"),
    )


@pytest.mark.parametrize("name", ["text.wasm", "units.wasm"])
def test_reads_a_real_tool(name: str) -> None:
    binary = read_binary((QUICKSTART / name).read_bytes())
    assert binary.kind is Kind.WASI_0_2
    assert binary.serves_http
    assert "wasi:http/types@0.2.4" in binary.imports
    assert all(":" in imported for imported in binary.imports)


@pytest.mark.parametrize(
    "name", ["wasi:http/handler@0.3.0-rc-2026-03-15", "wasi:http/handler@0.3.0", "wasi:http/handler@0.3"]
)
def test_tells_a_component_of_wasi_0_3_by_its_interfaces(name: str) -> None:
    raw = COMPONENT_HEADER + section(11, leb(1) + b"\0" + leb(len(name)) + name.encode() + b"\x05\x00\x00")
    binary = read_binary(raw)
    assert binary.kind is Kind.WASI_0_3
    assert binary.serves_http


def test_wasi_0_30_is_not_0_3() -> None:
    raw = bytes(wat2wasm('(component (import "wasi:http/types@0.30.0" (instance)))'))
    assert read_binary(raw).kind is Kind.WASI_0_2


def test_reads_names_with_attributes() -> None:
    # The form that the specification added for version suffixes; no assembler here writes it yet.
    entry = b"\x02" + leb(8) + b"a:b/c@01" + leb(1) + b"\x01" + leb(2) + b".2" + b"\x05\x00"
    assert read_binary(COMPONENT_HEADER + section(10, leb(1) + entry)).imports == ("a:b/c@01",)


def test_a_core_module_shows_the_world_it_was_compiled_for() -> None:
    plain = read_binary(CORE)
    assert plain == Binary(
        Kind.CORE_MODULE,
        ("wasi_snapshot_preview1", "wasi:http/types@0.2.0", "env"),
        ("wasi:http/incoming-handler@0.2.0", "cabi_realloc"),
        world=False,
    )
    assert read_binary(CORE + custom(b"component-type:spin-http", b"\0" * 200)).world
    assert not read_binary(CORE + custom(b"producers")).world


def test_a_broken_custom_section_is_no_error_of_a_module() -> None:
    assert not read_binary(CORE + section(0, b"")).world
    assert not read_binary(CORE + section(0, leb(100) + b"component-type")).world
    assert not read_binary(CORE + section(0, leb(2) + b"\xff\xff")).world


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", r"not a WebAssembly binary: it begins with nothing"),
        (b"<!DOCTYPE html><html>", r"it begins with bytes 3c 21 44 4f"),
        (b"\x7fELF\x02\x01\x01\x00", r"it begins with bytes 7f 45"),
        (b"\0asm", r"unknown version \(truncated\)"),
        (b"\0asm\x01\0", r"unknown version \(01 00\)"),
        (b"\0asm\x02\0\0\0", r"unknown version \(02 00 00 00\)"),
        (b"\0asm\x0e\0\x01\0", r"unknown version \(0e 00 01 00\)"),
        (COMPONENT_HEADER + b"\x0a", r"end too early at byte 9"),
        (COMPONENT_HEADER + b"\x0a\x05\x01", r"section 10 is 5 bytes long and 1 are left"),
        (COMPONENT_HEADER + section(10, leb(1 << 31)), r"2147483648 items do not fit"),
        (COMPONENT_HEADER + section(10, leb(1) + b"\x07\x01a\x05\x00"), r"a name of the unknown form 7"),
        (COMPONENT_HEADER + section(10, leb(1) + b"\x00\x01a\x09\x00"), r"an unknown external type 0x09"),
        (COMPONENT_HEADER + section(10, leb(1) + b"\x00\x02\xff\xfe\x05\x00"), r"not UTF-8"),
        (COMPONENT_HEADER + section(10, leb(0) + b"\x00"), r"import section has 1 bytes more"),
        (COMPONENT_HEADER + section(11, leb(1) + b"\x00\x01a\x01\x00\x02"), r"an option with the flag 2"),
        (COMPONENT_HEADER + b"\x0a\xff\xff\xff\xff\xff\x01", r"a number longer than 5 bytes"),
        (COMPONENT_HEADER + b"\x0a\xff\xff\xff\xff\x7f", r"a number over 32 bits"),
        (
            COMPONENT_HEADER + section(10, leb(1) + b"\0" + leb(5000) + b"a" * 5000 + b"\x05\0"),
            r"name of 5000",
        ),
        (CORE_HEADER + section(2, leb(1) + b"\x01a\x01b\x09\x00"), r"an unknown import type 0x09"),
    ],
)
def test_refuses_what_is_malformed_and_says_where(raw: bytes, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        read_binary(raw)


def test_every_truncation_is_refused_or_ends_between_sections() -> None:
    whole = read_binary(COMPONENT)
    for length in range(len(COMPONENT)):
        try:
            binary = read_binary(COMPONENT[:length])
        except ComponentError:
            continue
        assert set(binary.imports) <= set(whole.imports)
        assert set(binary.exports) <= set(whole.exports)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", COMPONENT_HEADER, CORE_HEADER]))
@example(b"\x0a\x80\x80\x80\x80\x00", COMPONENT_HEADER)
def test_arbitrary_bytes_raise_nothing_but_component_errors(tail: bytes, head: bytes) -> None:
    try:
        binary = read_binary(head + tail)
    except ComponentError:
        return
    assert isinstance(binary.kind, Kind)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([COMPONENT, CORE]), st.data())
def test_damaged_binaries_raise_nothing_but_component_errors(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        binary = read_binary(bytes(damaged))
    except ComponentError:
        return
    assert isinstance(binary, Binary)


def test_a_large_binary_is_skipped_over_and_not_copied() -> None:
    code = bytearray(37_000_000)
    raw = bytearray(COMPONENT_HEADER + b"\x01" + leb(len(code))) + code + COMPONENT[8:]
    started = time.perf_counter()
    binary = read_binary(memoryview(raw))
    assert time.perf_counter() - started < 0.1
    assert binary == read_binary(COMPONENT)


def test_nesting_costs_nothing() -> None:
    # Sections of nested components are skipped by their length, so that depth costs nothing.
    raw = COMPONENT_HEADER
    for _ in range(2000):
        raw = COMPONENT_HEADER + section(4, raw)
    assert read_binary(raw).imports == ()
