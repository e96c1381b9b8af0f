"""Reads a WebAssembly binary's kind, imports and exports, without compiling it.

Formats: the component model's `design/mvp/Binary.md` (version 0x0d, layer 1) and the core specification,
chapter 5 (version 1). Only the outermost component's import and export sections are read; code, data and
nested components are skipped by their length, so 37 MB take no longer than 100 KB. The bytes are untrusted:
every length is checked against the remaining bytes, the numbers of sections, items and names are limited,
nothing recurses, and the only error is ComponentError. In addition, only the sandbox's child reads untrusted
bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ftl_operator.errors import ComponentError

MAX_SECTIONS = 20_000
"""The most sections of the outermost component or module. A composition of a hundred components has about a
thousand."""
MAX_ITEMS = 20_000
"""The most imports and exports together, including repetitions."""
MAX_NAME_BYTES = 4096
MAX_NAME_OPTIONS = 16
"""The most options of one name, such as the suffix of its version."""
MAX_NAMES_BYTES = 1 << 20
"""The most bytes of all names together; they are kept in memory, shown and cached."""

_MAGIC = b"\0asm"
_CORE = b"\x01\0\0\0"
_COMPONENT = b"\x0d\0\x01\0"

_CUSTOM = 0
_CORE_IMPORT, _CORE_EXPORT = 2, 7
_IMPORT, _EXPORT = 10, 11


class Kind(StrEnum):
    """The kind of a binary, which determines the hosts that can run it."""

    WASI_0_2 = "wasi-0.2"
    """A component of WASI 0.2 or older snapshots: runs on every Spin since 2.0 and in the embedded host."""
    WASI_0_3 = "wasi-0.3"
    """A component of WASI 0.3 or of a release candidate of it; `spin_interfaces` says which Spin runs it."""
    CORE_MODULE = "core-module"
    """A core module; Spin turns it into a component when it carries `component-type` sections."""


@dataclass(frozen=True, slots=True)
class Binary:
    """The kind, imports and exports of a binary.

    `imports` and `exports` are names as written, in binary order without repetition, such as
    `wasi:http/types@0.2.4`. For a core module they are the module names that it imports, and its exports with
    `wasi:http/incoming-handler@0.2.0#handle` cut to the interface: the used part of its toolchain's world.
    """

    kind: Kind
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    world: bool = True
    """True for a component; for a core module, whether it has `component-type` sections with its world."""

    @property
    def serves_http(self) -> bool:
        """Whether it exports an HTTP handler that Spin supports."""
        return any(name.partition("@")[0] in HTTP_HANDLERS for name in self.exports)


HTTP_HANDLERS = frozenset(
    {"wasi:http/incoming-handler", "wasi:http/handler", "fermyon:spin/inbound-http", "inbound-http"}
)
"""The handler interfaces through which Spin calls a component; the one without a package is Spin 1's."""


def read_binary(data: bytes | bytearray | memoryview) -> Binary:
    """Read a binary's kind, imports and exports.

    Args:
        data: The whole binary; a memoryview of a memory-mapped file is read without copying it.

    Raises:
        ComponentError: It is not WebAssembly, of an unknown version, truncated or malformed.
    """
    reader = _Reader(memoryview(data).cast("B"))
    preamble = bytes(reader.data[:8])
    if preamble[:4] != _MAGIC:
        shown = f"bytes {preamble.hex(' ')}" if preamble else "nothing (it is empty)"
        raise ComponentError(f"not a WebAssembly binary: it begins with {shown}")
    reader.at = 8
    match preamble[4:]:
        case b if b == _COMPONENT:
            return _component(reader)
        case b if b == _CORE:
            return _core_module(reader)
    raise ComponentError(
        f"WebAssembly of an unknown version ({preamble[4:].hex(' ') or 'truncated'}): "
        "neither a core module nor a component of the current component model"
    )


def _component(reader: "_Reader") -> Binary:
    found = _Names()
    for identifier, body in _sections(reader):
        if identifier == _IMPORT:
            for _ in range(body.count(smallest_item=3)):
                found.add(found.imports, _external_name(body), body)
                _skip_external_type(body)
            body.end("import section")
        elif identifier == _EXPORT:
            for _ in range(body.count(smallest_item=4)):
                found.add(found.exports, _external_name(body), body)
                _skip_sort(body)
                body.u32()
                if _optional(body):
                    _skip_external_type(body)
            body.end("export section")
    names = (*found.imports, *found.exports)
    kind = Kind.WASI_0_3 if any(_is_wasi_0_3(name) for name in names) else Kind.WASI_0_2
    return Binary(kind, tuple(found.imports), tuple(found.exports))


def _core_module(reader: "_Reader") -> Binary:
    found = _Names()
    world = False
    for identifier, body in _sections(reader):
        if identifier == _CUSTOM:
            world = world or _is_world(body)
        elif identifier == _CORE_IMPORT:
            for _ in range(body.count(smallest_item=4)):
                found.add(found.imports, body.name(), body)
                body.name()
                _skip_core_type(body)
            body.end("import section")
        elif identifier == _CORE_EXPORT:
            for _ in range(body.count(smallest_item=3)):
                # The canonical ABI's names are INTERFACE#FUNCTION, with the prefix `cabi_post_` for clean-up.
                name = body.name().removeprefix("cabi_post_").partition("#")[0]
                found.add(found.exports, name, body)
                body.byte()
                body.u32()
            body.end("export section")
    return Binary(Kind.CORE_MODULE, tuple(found.imports), tuple(found.exports), world)


def _is_world(body: "_Reader") -> bool:
    try:
        return body.name().startswith("component-type")
    except ComponentError:
        # A malformed custom section does not make a module invalid (core specification 5.5.3).
        return False


def _sections(reader: "_Reader") -> Iterator[tuple[int, "_Reader"]]:
    sections = 0
    while reader.at < len(reader.data):
        sections += 1
        if sections > MAX_SECTIONS:
            raise reader.error(f"more than {MAX_SECTIONS} sections")
        identifier = reader.byte()
        yield identifier, reader.sub(reader.u32(), f"section {identifier}")


def _external_name(body: "_Reader") -> str:
    form = body.byte()
    if form > 2:
        raise body.error(f"a name of the unknown form {form}")
    name = body.name()
    if form == 2:
        options = body.count(smallest_item=2)
        if options > MAX_NAME_OPTIONS:
            raise body.error(f"a name with {options} options (at most {MAX_NAME_OPTIONS})")
        for _ in range(options):
            body.byte()
            body.name()
    return name


def _skip_external_type(body: "_Reader") -> None:
    match body.byte():
        case 0x00:  # core module
            body.byte()
            body.u32()
        case 0x01 | 0x04 | 0x05:  # func, component, instance
            body.u32()
        case 0x02:  # value
            body.byte()
            body.signed33()
        case 0x03:  # type: equal to another, or a fresh resource
            if body.byte() == 0x00:
                body.u32()
        case other:
            raise body.error(f"an unknown external type 0x{other:02x}")


def _skip_sort(body: "_Reader") -> None:
    if body.byte() == 0x00:
        body.byte()


def _skip_core_type(body: "_Reader") -> None:
    match body.byte():
        case 0x00:  # func
            body.u32()
        case 0x01:  # table: reference type, limits
            if body.byte() in (0x63, 0x64):
                body.signed33()
            _skip_limits(body)
        case 0x02:  # memory
            _skip_limits(body)
        case 0x03:  # global: value type, mutability
            if body.byte() in (0x63, 0x64):
                body.signed33()
            body.byte()
        case 0x04:  # tag
            body.byte()
            body.u32()
        case other:
            raise body.error(f"an unknown import type 0x{other:02x}")


def _skip_limits(body: "_Reader") -> None:
    flags = body.byte()
    body.leb(10)
    if flags & 1:
        body.leb(10)
    if flags & 8:  # custom page size
        body.u32()


def _optional(body: "_Reader") -> bool:
    flag = body.byte()
    if flag > 1:
        raise body.error(f"an option with the flag {flag}")
    return flag == 1


def _is_wasi_0_3(name: str) -> bool:
    package, _, version = name.partition("@")
    return package.startswith("wasi:") and (version == "0.3" or version.startswith("0.3."))


class _Names:
    """The imports and exports of one binary, in order and without repetition, with a common limit."""

    def __init__(self) -> None:
        self.imports: dict[str, None] = {}
        self.exports: dict[str, None] = {}
        self._items = 0
        self._bytes = 0

    def add(self, names: dict[str, None], name: str, body: "_Reader") -> None:
        """Add a name. Raises ComponentError if there are too many, including repetitions."""
        self._items += 1
        if self._items > MAX_ITEMS:
            raise body.error(f"more than {MAX_ITEMS} imports and exports")
        if name not in names:
            self._bytes += len(name)
            if self._bytes > MAX_NAMES_BYTES:
                raise body.error(f"names of more than {MAX_NAMES_BYTES} bytes together")
            names[name] = None


class _Reader:
    """A reader of bytes that may be truncated anywhere."""

    __slots__ = ("at", "data", "offset")

    def __init__(self, data: memoryview, offset: int = 0) -> None:
        self.data = data
        self.at = 0
        self.offset = offset

    def error(self, what: str) -> ComponentError:
        return ComponentError(f"malformed WebAssembly: {what} at byte {self.offset + self.at}")

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise self.error("the bytes end too early")
        value = self.data[self.at]
        self.at += 1
        return value

    def leb(self, longest: int) -> int:
        """Read an unsigned LEB128 number of at most `longest` bytes."""
        value = 0
        for index in range(longest):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                return value
        raise self.error(f"a number longer than {longest} bytes")

    def u32(self) -> int:
        value = self.leb(5)
        if value >> 32:
            raise self.error("a number over 32 bits")
        return value

    def signed33(self) -> None:
        """Skip a type index or type code; its value does not matter here."""
        self.leb(5)

    def count(self, smallest_item: int) -> int:
        """Read the length of a vector whose items need `smallest_item` bytes. The items must fit the rest."""
        count = self.u32()
        if count * smallest_item > len(self.data) - self.at:
            raise self.error(f"{count} items do not fit into the bytes that are left")
        return count

    def name(self) -> str:
        length = self.u32()
        if length > MAX_NAME_BYTES:
            raise self.error(f"a name of {length} bytes (at most {MAX_NAME_BYTES})")
        raw = bytes(self.sub(length, "a name").data)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.error("a name that is not UTF-8") from None

    def sub(self, length: int, what: str) -> "_Reader":
        if length > len(self.data) - self.at:
            raise self.error(f"{what} is {length} bytes long and {len(self.data) - self.at} are left")
        part = _Reader(self.data[self.at : self.at + length], self.offset + self.at)
        self.at += length
        return part

    def end(self, what: str) -> None:
        if self.at != len(self.data):
            raise self.error(f"the {what} has {len(self.data) - self.at} bytes more than its items")
