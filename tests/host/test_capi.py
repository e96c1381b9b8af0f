"""The layout of C values that the embedded host writes by address, against wasmtime-py's own declarations."""

import ctypes

import pytest
from wasmtime import _ffi as ffi

from ftl_operator.host.engine import capi

KINDS = (
    "BOOL", "S8", "U8", "S16", "U16", "S32", "U32", "S64", "U64", "F32", "F64", "CHAR", "STRING", "LIST",
    "RECORD", "TUPLE", "VARIANT", "ENUM", "OPTION", "RESULT", "FLAGS",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_wasmtimes_number(kind: str) -> None:
    assert getattr(capi, kind) == getattr(ffi, f"WASMTIME_COMPONENT_{kind}").value


def test_a_resource_is_the_next_kind() -> None:
    assert ffi.WASMTIME_COMPONENT_RESOURCE.value == capi.RESOURCE


def test_a_value_lies_behind_its_kind() -> None:
    value = ffi.wasmtime_component_val_t
    assert (value.kind.offset, value.of.offset) == (0, capi.BODY)


def test_a_record_s_entry_is_a_name_and_a_value() -> None:
    entry = ffi.wasmtime_component_valrecord_entry_t
    assert (entry.name.offset, entry.val.offset) == (0, ctypes.sizeof(ffi.wasm_name_t))
    assert ctypes.sizeof(entry) == capi.ENTRY_SIZE


@pytest.mark.parametrize("vector", ["wasm_name_t", "wasmtime_component_vallist_t"])
def test_a_vector_is_a_size_and_an_address(vector: str) -> None:
    declared = getattr(ffi, vector)
    assert (declared.size.offset, declared.data.offset, ctypes.sizeof(declared)) == (0, 8, 16)
