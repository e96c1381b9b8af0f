"""Component-model values between wasmtime's C structures and Python objects.

wasmtime-py converts through its type objects on every call and takes a list of bytes apart element by element, which
costs more than the guest's work. Here a function's types are compiled once to plain functions over addresses:
`lift(guest, address) -> object` and `lower(guest, object, address)`. A list of u8 is `bytes`, a record a dict,
a variant `(case, payload)`, an option the value or None, flags a frozenset, a resource the host's own object.
A result is `Ok` or `Err`; in a function's own result `return` stands for ok and `raise Err` for err.

Layout: wasmtime/component/val.h of the C API of wasmtime 50. The caller of a host function frees its
arguments, and takes over what is written to its result.
"""

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wasmtime import _ffi as ffi
from wasmtime import component as wc

if TYPE_CHECKING:
    from .guest import Guest

Lift = Callable[["Guest", int], Any]
Lower = Callable[["Guest", Any, int], None]

VAL_SIZE = ctypes.sizeof(ffi.wasmtime_component_val_t)
_ENTRY_SIZE = 16 + VAL_SIZE
_BODY = 8
"""Offset of the value behind its kind."""

(BOOL, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, CHAR, STRING, LIST, RECORD, TUPLE, VARIANT, ENUM, OPTION,
 RESULT, FLAGS, RESOURCE) = range(22)  # fmt: skip

# PyDLL keeps the interpreter lock: these functions only move a few words, and giving the lock away at each of them lets
# every other thread in between.
_fast = ctypes.PyDLL(ffi.dll._name)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_fast, name)
    function.restype = result
    function.argtypes = arguments
    return function


_pointer = ctypes.c_void_p
_bytes_new = _function("wasm_byte_vec_new", None, _pointer, ctypes.c_size_t, ctypes.c_char_p)
_list_new = _function("wasmtime_component_vallist_new_uninit", None, _pointer, ctypes.c_size_t)
_record_new = _function("wasmtime_component_valrecord_new_uninit", None, _pointer, ctypes.c_size_t)
_tuple_new = _function("wasmtime_component_valtuple_new_uninit", None, _pointer, ctypes.c_size_t)
_flags_new = _function("wasmtime_component_valflags_new_uninit", None, _pointer, ctypes.c_size_t)
_val_new = _function("wasmtime_component_val_new", _pointer, _pointer)
_host_new = _function(
    "wasmtime_component_resource_host_new", _pointer, ctypes.c_bool, ctypes.c_uint32, ctypes.c_uint32
)
_host_rep = _function("wasmtime_component_resource_host_rep", ctypes.c_uint32, _pointer)
_host_delete = _function("wasmtime_component_resource_host_delete", None, _pointer)
_to_any = _function("wasmtime_component_resource_host_to_any", _pointer, _pointer, _pointer, _pointer)
_to_host = _function("wasmtime_component_resource_any_to_host", _pointer, _pointer, _pointer, _pointer)
_error_delete = _function("wasmtime_error_delete", None, _pointer)
val_delete = _function("wasmtime_component_val_delete", None, _pointer)


class Ok:
    """The ok case of a result that is not a function's own."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Err(Exception):  # noqa: N818 - named as WIT names it
    """The err case of a result."""

    def __init__(self, value: Any = None) -> None:
        super().__init__(value)
        self.value = value


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _set_word(address: int, value: int) -> None:
    ctypes.c_uint64.from_address(address).value = value


def _set_kind(address: int, kind: int) -> None:
    ctypes.c_uint64.from_address(address).value = kind


def _text(address: int) -> str:
    return ctypes.string_at(_word(address + 8), _word(address)).decode() if _word(address) else ""


def _set_text(address: int, text: str) -> None:
    data = text.encode()
    _bytes_new(address, len(data), data)


def _number(kind: int, code: str) -> tuple[Lift, Lower]:
    size = struct.calcsize(code)
    unpack, pack_into = struct.Struct("=" + code).unpack, struct.Struct("=" + code).pack

    def lift(_guest: "Guest", address: int) -> Any:
        return unpack(ctypes.string_at(address + _BODY, size))[0]

    def lower(_guest: "Guest", value: Any, address: int) -> None:
        _set_kind(address, kind)
        ctypes.memmove(address + _BODY, pack_into(value), size)

    return lift, lower


def _char() -> tuple[Lift, Lower]:
    lift_number, lower_number = _number(CHAR, "I")
    return (lambda g, a: chr(lift_number(g, a))), (lambda g, v, a: lower_number(g, ord(v), a))


def _string() -> tuple[Lift, Lower]:
    def lower(_guest: "Guest", value: str, address: int) -> None:
        _set_kind(address, STRING)
        _set_text(address + _BODY, value)

    return (lambda _g, a: _text(a + _BODY)), lower


def _lift_bytes(_guest: "Guest", address: int) -> bytes:
    size = _word(address + _BODY)
    return ctypes.string_at(_word(address + 16), size * VAL_SIZE)[_BODY::VAL_SIZE] if size else b""


def _lower_bytes(_guest: "Guest", value: bytes, address: int) -> None:
    size = len(value)
    _set_kind(address, LIST)
    _list_new(address + _BODY, size)
    if size:
        cells = bytearray(size * VAL_SIZE)
        cells[::VAL_SIZE] = bytes((U8,)) * size
        cells[_BODY::VAL_SIZE] = value
        ctypes.memmove(_word(address + 16), (ctypes.c_char * len(cells)).from_buffer(cells), len(cells))


def _list(element: wc.ValType) -> tuple[Lift, Lower]:
    if isinstance(element, wc.U8):
        return _lift_bytes, _lower_bytes
    lift_one, lower_one = codec(element)

    def lift(guest: "Guest", address: int) -> list[Any]:
        start = _word(address + 16)
        return [lift_one(guest, start + i * VAL_SIZE) for i in range(_word(address + _BODY))]

    def lower(guest: "Guest", values: Any, address: int) -> None:
        _lower_row(guest, [(lower_one, value) for value in values], address, (LIST, _list_new))

    return lift, lower


def _lower_row(
    guest: "Guest", cells: list[tuple[Lower, Any]], address: int, kind: tuple[int, Callable[[int, int], None]]
) -> None:
    """Write a list or a tuple. Its cells are false first, so that a failure in between leaves nothing undefined."""
    _set_kind(address, kind[0])
    kind[1](address + _BODY, len(cells))
    if cells:
        start = _word(address + 16)
        ctypes.memset(start, 0, VAL_SIZE * len(cells))
        for index, (lower, value) in enumerate(cells):
            lower(guest, value, start + index * VAL_SIZE)


def _tuple(elements: list[wc.ValType]) -> tuple[Lift, Lower]:
    codecs = [codec(element) for element in elements]

    def lift(guest: "Guest", address: int) -> tuple[Any, ...]:
        start = _word(address + 16)
        return tuple(one(guest, start + i * VAL_SIZE) for i, (one, _) in enumerate(codecs))

    def lower(guest: "Guest", values: Any, address: int) -> None:
        cells = [(one, value) for (_, one), value in zip(codecs, values, strict=True)]
        _lower_row(guest, cells, address, (TUPLE, _tuple_new))

    return lift, lower


def _record(fields: list[tuple[str, wc.ValType]]) -> tuple[Lift, Lower]:
    codecs = [(name, *codec(ty)) for name, ty in fields]

    def lift(guest: "Guest", address: int) -> dict[str, Any]:
        start = _word(address + 16)
        return {name: one(guest, start + i * _ENTRY_SIZE + 16) for i, (name, one, _) in enumerate(codecs)}

    def lower(guest: "Guest", value: dict[str, Any], address: int) -> None:
        _set_kind(address, RECORD)
        _record_new(address + _BODY, len(codecs))
        start = _word(address + 16)
        ctypes.memset(start, 0, _ENTRY_SIZE * len(codecs))
        for index, (name, _, one) in enumerate(codecs):
            _set_text(start + index * _ENTRY_SIZE, name)
            one(guest, value[name], start + index * _ENTRY_SIZE + 16)

    return lift, lower


def _lower_boxed(guest: "Guest", lower: Lower, value: Any) -> int:
    cell = (ctypes.c_uint64 * (VAL_SIZE // 8))()
    lower(guest, value, ctypes.addressof(cell))
    return int(_val_new(ctypes.addressof(cell)))


def _variant(cases: list[tuple[str, wc.ValType | None]]) -> tuple[Lift, Lower]:
    codecs = {name: codec(ty) if ty is not None else None for name, ty in cases}

    def lift(guest: "Guest", address: int) -> tuple[str, Any]:
        name = _text(address + _BODY)
        payload = codecs[name]
        return name, payload[0](guest, _word(address + 24)) if payload else None

    def lower(guest: "Guest", value: tuple[str, Any], address: int) -> None:
        name, inner = value
        payload = codecs[name]
        boxed = _lower_boxed(guest, payload[1], inner) if payload else 0
        _set_kind(address, VARIANT)
        _set_text(address + _BODY, name)
        _set_word(address + 24, boxed)

    return lift, lower


def _enum() -> tuple[Lift, Lower]:
    def lower(_guest: "Guest", value: str, address: int) -> None:
        _set_kind(address, ENUM)
        _set_text(address + _BODY, value)

    return (lambda _g, a: _text(a + _BODY)), lower


def _option(payload: wc.ValType) -> tuple[Lift, Lower]:
    lift_one, lower_one = codec(payload)

    def lift(guest: "Guest", address: int) -> Any:
        boxed = _word(address + _BODY)
        return lift_one(guest, boxed) if boxed else None

    def lower(guest: "Guest", value: Any, address: int) -> None:
        boxed = _lower_boxed(guest, lower_one, value) if value is not None else 0
        _set_kind(address, OPTION)
        _set_word(address + _BODY, boxed)

    return lift, lower


def _result(ok: wc.ValType | None, err: wc.ValType | None) -> tuple[Lift, Lower]:
    ok_codec = codec(ok) if ok is not None else None
    err_codec = codec(err) if err is not None else None

    def lift(guest: "Guest", address: int) -> Ok | Err:
        is_ok = ctypes.c_bool.from_address(address + _BODY).value
        payload = ok_codec if is_ok else err_codec
        value = payload[0](guest, _word(address + 16)) if payload else None
        return Ok(value) if is_ok else Err(value)

    def lower(guest: "Guest", value: Ok | Err, address: int) -> None:
        is_ok = isinstance(value, Ok)
        payload = ok_codec if is_ok else err_codec
        boxed = _lower_boxed(guest, payload[1], value.value) if payload else 0
        _set_kind(address, RESULT)
        _set_word(address + _BODY, int(is_ok))
        _set_word(address + 16, boxed)

    return lift, lower


def _flags() -> tuple[Lift, Lower]:
    def lift(_guest: "Guest", address: int) -> frozenset[str]:
        start = _word(address + 16)
        return frozenset(_text(start + i * 16) for i in range(_word(address + _BODY)))

    def lower(_guest: "Guest", value: frozenset[str], address: int) -> None:
        names = sorted(value)
        _set_kind(address, FLAGS)
        _flags_new(address + _BODY, len(names))
        for index, name in enumerate(names):
            _set_text(_word(address + 16) + index * 16, name)

    return lift, lower


def _resource(*, owned: bool) -> tuple[Lift, Lower]:
    def lift(guest: "Guest", address: int) -> Any:
        host = ctypes.c_void_p()
        error = _to_host(guest.context, _word(address + _BODY), ctypes.addressof(host))
        if error:
            _error_delete(error)
            raise TypeError("a resource of the guest's own came where one of the host's belongs")
        rep = _host_rep(host)
        _host_delete(host)
        return guest.resources.pop(rep) if owned else guest.resources[rep]

    def lower(guest: "Guest", value: Any, address: int) -> None:
        host = _host_new(True, guest.keep(value), value.wit_id)
        any_ = ctypes.c_void_p()
        error = _to_any(guest.context, host, ctypes.addressof(any_))
        _host_delete(host)
        if error:
            _error_delete(error)
            raise TypeError("the store takes no more resources")
        _set_kind(address, RESOURCE)
        _set_word(address + _BODY, any_.value or 0)

    return lift, lower


_NUMBERS = {
    wc.Bool: (BOOL, "?"), wc.S8: (S8, "b"), wc.U8: (U8, "B"), wc.S16: (S16, "h"), wc.U16: (U16, "H"),
    wc.S32: (S32, "i"), wc.U32: (U32, "I"), wc.S64: (S64, "q"), wc.U64: (U64, "Q"), wc.F32: (F32, "f"), wc.F64: (F64, "d"),
}  # fmt: skip


def codec(ty: wc.ValType) -> tuple[Lift, Lower]:  # noqa: C901 - one line per kind of type
    """Compile a type to its two functions. Raises TypeError for what WASI 0.2 does not have (streams, futures)."""
    if type(ty) in _NUMBERS:
        return _number(*_NUMBERS[type(ty)])
    match ty:
        case wc.Char():
            return _char()
        case wc.String():
            return _string()
        case wc.ListType():
            return _list(ty.element)
        case wc.RecordType():
            return _record(ty.fields)
        case wc.TupleType():
            return _tuple(ty.elements)
        case wc.VariantType():
            return _variant(ty.cases)
        case wc.EnumType():
            return _enum()
        case wc.OptionType():
            return _option(ty.payload)
        case wc.ResultType():
            return _result(ty.ok, ty.err)
        case wc.FlagsType():
            return _flags()
        case wc.OwnType() | wc.BorrowType():
            return _resource(owned=isinstance(ty, wc.OwnType))
    raise TypeError(f"values of type {type(ty).__name__} are not of WASI 0.2")
