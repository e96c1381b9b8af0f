"""Converts bytes and headers between wasmtime's C structures and Python objects, a whole vector at a time.

They are most of the data between host and guest. In the C API each byte is a separate value, and each header
a tuple of two vectors; converting them one by one costs more than the guest's work.
"""

import ctypes
import struct
from typing import TYPE_CHECKING

from ftl_operator.host.engine import capi

if TYPE_CHECKING:
    from ftl_operator.host.guest import GuestInstance

_PAIR = struct.Struct("@QQ")
_PADDING = f"{capi.VAL_SIZE - 24}x"
_HEADER = struct.Struct(f"@QQQ{_PADDING}QQQ{_PADDING}")
_EMPTY_HEADER = _HEADER.pack(capi.STRING, 0, 0, capi.LIST, 0, 0)
_CELL = struct.pack(f"@QQQ{_PADDING}", capi.U8, 0, 0)
_CELLS = _CELL * 1024


def _read_bytes(size: int, start: int) -> bytes:
    return ctypes.string_at(start, size * capi.VAL_SIZE)[capi.BODY :: capi.VAL_SIZE] if size else b""


def _write_bytes(value: bytes, vector: int) -> None:
    """Fill the vector at an address. Each byte is a separate value."""
    size = len(value)
    capi.list_new(vector, size)
    if size:
        length = size * capi.VAL_SIZE
        cells = bytearray(_CELLS[:length] if length <= len(_CELLS) else _CELL * size)
        cells[capi.BODY :: capi.VAL_SIZE] = value
        ctypes.memmove(capi.word(vector + 8), bytes(cells), length)


def lift_bytes(_guest: "GuestInstance", address: int) -> bytes:
    """Read a `list<u8>` at an address."""
    return _read_bytes(*_PAIR.unpack(ctypes.string_at(address + capi.BODY, _PAIR.size)))


def lower_bytes(_guest: "GuestInstance", value: bytes, address: int) -> None:
    """Write a `list<u8>`."""
    capi.set_kind(address, capi.LIST)
    _write_bytes(value, address + capi.BODY)


def lift_headers(_guest: "GuestInstance", address: int) -> list[tuple[str, bytes]]:
    """Read a `list<tuple<string, list<u8>>>` at an address."""
    headers = []
    size, start = _PAIR.unpack(ctypes.string_at(address + capi.BODY, _PAIR.size))
    for at in range(start, start + size * capi.VAL_SIZE, capi.VAL_SIZE):
        _, named, name, _, size, value = _HEADER.unpack(ctypes.string_at(capi.word(at + 16), _HEADER.size))
        headers.append((ctypes.string_at(name, named).decode() if named else "", _read_bytes(size, value)))
    return headers


def lower_headers(_guest: "GuestInstance", headers: list[tuple[str, bytes]], address: int) -> None:
    """Write a `list<tuple<string, list<u8>>>`."""
    capi.set_kind(address, capi.LIST)
    capi.list_new(address + capi.BODY, len(headers))
    if headers:
        at = capi.word(address + 16)
        ctypes.memset(at, 0, capi.VAL_SIZE * len(headers))
        for name, value in headers:
            capi.set_kind(at, capi.TUPLE)
            capi.tuple_new(at + capi.BODY, 2)
            pair = capi.word(at + 16)
            ctypes.memmove(pair, _EMPTY_HEADER, _HEADER.size)
            capi.set_text(pair + capi.BODY, name)
            _write_bytes(value, pair + capi.VAL_SIZE + capi.BODY)
            at += capi.VAL_SIZE
