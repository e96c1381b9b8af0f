"""Converts component-model values between wasmtime's C structures and Python objects.

wasmtime-py converts through its type objects on every call, and lists of bytes element by element, which
costs more than the guest's work. Here a function's types are compiled once to functions over addresses:
`lift(guest, address) -> object` and `lower(guest, object, address)`.

A list of u8 is `bytes`, a record a dict, a variant `(case, payload)`, an option the value or None, flags a
frozenset, a resource the host's own object.
A result is `Ok` or `Err`; in a function's own result `return` stands for ok and `raise Err` for err.

Layout: wasmtime/component/val.h of the C API of wasmtime 50. The caller of a host function frees its
    arguments
and owns the result.
"""

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wasmtime import component as wc

from ftl_operator.host.engine import capi, vectors
from ftl_operator.host.engine.interface import Err, Ok, Trap

if TYPE_CHECKING:
    from ftl_operator.host.guest import GuestInstance

Lift = Callable[["GuestInstance", int], Any]
Lower = Callable[["GuestInstance", Any, int], None]


def _number(kind: int, cell: Any) -> tuple[Lift, Lower]:
    """`cell` is the ctypes type of the number's bytes."""
    at = cell.from_address

    def lift(_guest: "GuestInstance", address: int) -> Any:
        return at(address + capi.BODY).value

    def lower(_guest: "GuestInstance", value: Any, address: int) -> None:
        capi.set_kind(address, kind)
        at(address + capi.BODY).value = value

    return lift, lower


def _char() -> tuple[Lift, Lower]:
    lift_number, lower_number = _number(capi.CHAR, ctypes.c_uint32)
    return (lambda g, a: chr(lift_number(g, a))), (lambda g, v, a: lower_number(g, ord(v), a))


def _string() -> tuple[Lift, Lower]:
    def lower(_guest: "GuestInstance", value: str, address: int) -> None:
        capi.set_kind(address, capi.STRING)
        capi.set_text(address + capi.BODY, value)

    return (lambda _g, a: capi.text(a + capi.BODY)), lower


def _is_header(ty: wc.ValType) -> bool:
    """Whether a type is `tuple<field-name, field-value>`, the type of headers."""
    if not isinstance(ty, wc.TupleType) or len(ty.elements) != 2:
        return False
    name, value = ty.elements
    return isinstance(name, wc.String) and isinstance(value, wc.ListType) and isinstance(value.element, wc.U8)


def _list(element: wc.ValType) -> tuple[Lift, Lower]:
    if isinstance(element, wc.U8):
        return vectors.lift_bytes, vectors.lower_bytes
    if _is_header(element):
        return vectors.lift_headers, vectors.lower_headers
    lift_one, lower_one = codec(element)

    def lift(guest: "GuestInstance", address: int) -> list[Any]:
        start = capi.word(address + 16)
        return [lift_one(guest, start + i * capi.VAL_SIZE) for i in range(capi.word(address + capi.BODY))]

    def lower(guest: "GuestInstance", values: Any, address: int) -> None:
        _lower_row(guest, [(lower_one, value) for value in values], address, (capi.LIST, capi.list_new))

    return lift, lower


def _lower_row(
    guest: "GuestInstance",
    cells: list[tuple[Lower, Any]],
    address: int,
    kind: tuple[int, Callable[[int, int], None]],
) -> None:
    """Write a list or a tuple. All cells are `false` first, so that a failure leaves no undefined value."""
    capi.set_kind(address, kind[0])
    kind[1](address + capi.BODY, len(cells))
    if cells:
        start = capi.word(address + 16)
        ctypes.memset(start, 0, capi.VAL_SIZE * len(cells))
        for index, (lower, value) in enumerate(cells):
            lower(guest, value, start + index * capi.VAL_SIZE)


def _tuple(elements: list[wc.ValType]) -> tuple[Lift, Lower]:
    codecs = [codec(element) for element in elements]

    def lift(guest: "GuestInstance", address: int) -> tuple[Any, ...]:
        start = capi.word(address + 16)
        return tuple(one(guest, start + i * capi.VAL_SIZE) for i, (one, _) in enumerate(codecs))

    def lower(guest: "GuestInstance", values: Any, address: int) -> None:
        cells = [(one, value) for (_, one), value in zip(codecs, values, strict=True)]
        _lower_row(guest, cells, address, (capi.TUPLE, capi.tuple_new))

    return lift, lower


def _record(fields: list[tuple[str, wc.ValType]]) -> tuple[Lift, Lower]:
    codecs = [(name, *codec(ty)) for name, ty in fields]

    def lift(guest: "GuestInstance", address: int) -> dict[str, Any]:
        start = capi.word(address + 16)
        return {name: one(guest, start + i * capi.ENTRY_SIZE + 16) for i, (name, one, _) in enumerate(codecs)}

    def lower(guest: "GuestInstance", value: dict[str, Any], address: int) -> None:
        capi.set_kind(address, capi.RECORD)
        capi.record_new(address + capi.BODY, len(codecs))
        start = capi.word(address + 16)
        ctypes.memset(start, 0, capi.ENTRY_SIZE * len(codecs))
        for index, (name, _, one) in enumerate(codecs):
            capi.set_text(start + index * capi.ENTRY_SIZE, name)
            one(guest, value[name], start + index * capi.ENTRY_SIZE + 16)

    return lift, lower


def _lower_boxed(guest: "GuestInstance", lower: Lower, value: Any) -> int:
    cell = (ctypes.c_uint64 * (capi.VAL_SIZE // 8))()
    lower(guest, value, ctypes.addressof(cell))
    return int(capi.val_new(ctypes.addressof(cell)))


def _variant(cases: list[tuple[str, wc.ValType | None]]) -> tuple[Lift, Lower]:
    codecs = {name: codec(ty) if ty is not None else None for name, ty in cases}

    def lift(guest: "GuestInstance", address: int) -> tuple[str, Any]:
        name = capi.text(address + capi.BODY)
        payload = codecs[name]
        return name, payload[0](guest, capi.word(address + 24)) if payload else None

    def lower(guest: "GuestInstance", value: tuple[str, Any], address: int) -> None:
        name, inner = value
        payload = codecs[name]
        boxed = _lower_boxed(guest, payload[1], inner) if payload else 0
        capi.set_kind(address, capi.VARIANT)
        capi.set_text(address + capi.BODY, name)
        capi.set_word(address + 24, boxed)

    return lift, lower


def _enum() -> tuple[Lift, Lower]:
    def lower(_guest: "GuestInstance", value: str, address: int) -> None:
        capi.set_kind(address, capi.ENUM)
        capi.set_text(address + capi.BODY, value)

    return (lambda _g, a: capi.text(a + capi.BODY)), lower


def _option(payload: wc.ValType) -> tuple[Lift, Lower]:
    lift_one, lower_one = codec(payload)

    def lift(guest: "GuestInstance", address: int) -> Any:
        boxed = capi.word(address + capi.BODY)
        return lift_one(guest, boxed) if boxed else None

    def lower(guest: "GuestInstance", value: Any, address: int) -> None:
        boxed = _lower_boxed(guest, lower_one, value) if value is not None else 0
        capi.set_kind(address, capi.OPTION)
        capi.set_word(address + capi.BODY, boxed)

    return lift, lower


def _result(ok: wc.ValType | None, err: wc.ValType | None) -> tuple[Lift, Lower]:
    ok_codec = codec(ok) if ok is not None else None
    err_codec = codec(err) if err is not None else None

    def lift(guest: "GuestInstance", address: int) -> Ok | Err:
        is_ok = ctypes.c_bool.from_address(address + capi.BODY).value
        payload = ok_codec if is_ok else err_codec
        value = payload[0](guest, capi.word(address + 16)) if payload else None
        return Ok(value) if is_ok else Err(value)

    def lower(guest: "GuestInstance", value: Ok | Err, address: int) -> None:
        is_ok = isinstance(value, Ok)
        payload = ok_codec if is_ok else err_codec
        boxed = _lower_boxed(guest, payload[1], value.value) if payload else 0
        capi.set_kind(address, capi.RESULT)
        capi.set_word(address + capi.BODY, int(is_ok))
        capi.set_word(address + 16, boxed)

    return lift, lower


def _flags() -> tuple[Lift, Lower]:
    def lift(_guest: "GuestInstance", address: int) -> frozenset[str]:
        start = capi.word(address + 16)
        return frozenset(capi.text(start + i * 16) for i in range(capi.word(address + capi.BODY)))

    def lower(_guest: "GuestInstance", value: frozenset[str], address: int) -> None:
        names = sorted(value)
        capi.set_kind(address, capi.FLAGS)
        capi.flags_new(address + capi.BODY, len(names))
        for index, name in enumerate(names):
            capi.set_text(capi.word(address + 16) + index * 16, name)

    return lift, lower


def _resource(*, owned: bool) -> tuple[Lift, Lower]:
    def lift(guest: "GuestInstance", address: int) -> Any:
        out = guest.out
        error = capi.to_host(guest.context, capi.word(address + capi.BODY), guest.out_address)
        if error:
            capi.error_delete(error)
            raise Trap("a resource of the guest's own came where one of the host's belongs")
        host = out.value
        rep = capi.host_rep(host)
        capi.host_delete(host)
        return guest.resources.pop(rep) if owned else guest.resources[rep]

    def lower(guest: "GuestInstance", value: Any, address: int) -> None:
        host = capi.host_new(True, guest.keep(value), value.wit_id)
        error = capi.to_any(guest.context, host, guest.out_address)
        capi.host_delete(host)
        if error:
            capi.error_delete(error)
            raise Trap("the store takes no more resources")
        capi.set_kind(address, capi.RESOURCE)
        capi.set_word(address + capi.BODY, guest.out.value)

    return lift, lower


_NUMBERS = {
    wc.Bool: (capi.BOOL, ctypes.c_bool),
    wc.S8: (capi.S8, ctypes.c_int8),
    wc.U8: (capi.U8, ctypes.c_uint8),
    wc.S16: (capi.S16, ctypes.c_int16),
    wc.U16: (capi.U16, ctypes.c_uint16),
    wc.S32: (capi.S32, ctypes.c_int32),
    wc.U32: (capi.U32, ctypes.c_uint32),
    wc.S64: (capi.S64, ctypes.c_int64),
    wc.U64: (capi.U64, ctypes.c_uint64),
    wc.F32: (capi.F32, ctypes.c_float),
    wc.F64: (capi.F64, ctypes.c_double),
}


def codec(ty: wc.ValType) -> tuple[Lift, Lower]:  # noqa: C901 - one line per kind of type
    """Compile a type to its two functions. Raises TypeError for types outside WASI 0.2 (stream, future)."""
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
