"""The memory layout of wasmtime's C values, and the functions that allocate their parts.

Layout: wasmtime/component/val.h of the C API of wasmtime 50. Addresses are integers.
"""

import ctypes
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

VAL_SIZE = ctypes.sizeof(ffi.wasmtime_component_val_t)
ENTRY_SIZE = 16 + VAL_SIZE
BODY = 8
"""The offset of the value after its kind."""

(BOOL, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, CHAR, STRING, LIST, RECORD, TUPLE, VARIANT, ENUM,
 OPTION, RESULT, FLAGS, RESOURCE) = range(22)  # fmt: skip

# PyDLL keeps the interpreter lock: these functions only copy a few words, and releasing the lock for each
# call would let other threads interrupt.
_fast = ctypes.PyDLL(ffi.dll._name)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_fast, name)
    function.restype = result
    function.argtypes = arguments
    return function


_pointer = ctypes.c_void_p
bytes_new = _function("wasm_byte_vec_new", None, _pointer, ctypes.c_size_t, ctypes.c_char_p)
list_new = _function("wasmtime_component_vallist_new_uninit", None, _pointer, ctypes.c_size_t)
record_new = _function("wasmtime_component_valrecord_new_uninit", None, _pointer, ctypes.c_size_t)
tuple_new = _function("wasmtime_component_valtuple_new_uninit", None, _pointer, ctypes.c_size_t)
flags_new = _function("wasmtime_component_valflags_new_uninit", None, _pointer, ctypes.c_size_t)
val_new = _function("wasmtime_component_val_new", _pointer, _pointer)
host_new = _function(
    "wasmtime_component_resource_host_new", _pointer, ctypes.c_bool, ctypes.c_uint32, ctypes.c_uint32
)
host_rep = _function("wasmtime_component_resource_host_rep", ctypes.c_uint32, _pointer)
host_delete = _function("wasmtime_component_resource_host_delete", None, _pointer)
to_any = _function("wasmtime_component_resource_host_to_any", _pointer, _pointer, _pointer, _pointer)
to_host = _function("wasmtime_component_resource_any_to_host", _pointer, _pointer, _pointer, _pointer)
error_delete = _function("wasmtime_error_delete", None, _pointer)
val_delete = _function("wasmtime_component_val_delete", None, _pointer)


def check(error: Any) -> None:
    """Raise wasmtime.WasmtimeError if a function of the C API returned an error."""
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


def word(address: int) -> int:
    """Read a size or pointer."""
    return ctypes.c_uint64.from_address(address).value


def set_word(address: int, value: int) -> None:
    """Write a size or pointer."""
    ctypes.c_uint64.from_address(address).value = value


def set_kind(address: int, kind: int) -> None:
    """Write a value's kind, and zeros up to its body."""
    ctypes.c_uint64.from_address(address).value = kind


def text(address: int) -> str:
    """Read a wasm_name_t."""
    return ctypes.string_at(word(address + 8), word(address)).decode() if word(address) else ""


def set_text(address: int, text: str) -> None:
    """Write a wasm_name_t."""
    data = text.encode()
    bytes_new(address, len(data), data)
